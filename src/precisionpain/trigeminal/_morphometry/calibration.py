"""Floor and factor of the intervals, as found on phantoms.

"mask" and "share": ``benchmarks/science/nerve_measures.py --calibrate`` (its seeds). "predicted",
which is for labels of the packaged segmenter: ``benchmarks/science/segmentation.py --calibrate``
(it has no interval for the contact area at 0 mm, of which those labels know nothing).
"""

from __future__ import annotations

__all__ = ["CALIBRATION"]

CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "mask": {
        "volume_mm3": (0.00701, 2.54),
        "length_mm": (0.104, 3.22),
        "mean_area_mm2": (0.00631, 2.51),
        "min_area_mm2": (0.0196, 2.38),
        "flattening": (0.00632, 3.44),
        "angle_deg": (1.19, 3.32),
        "gap_mm": (0.0447, 3.1),
        "contact_area_mm2": (0.0419, 1.56),
        "contact_length_mm": (0.131, 1.54),
        "contact_position_mm": (0.104, 1.95),
        "vessel_diameter_mm": (0.0321, 1.18),
        "crossing_angle_deg": (1.03, 2.94),
        "displacement_mm": (0.11, 5.27),
        "indentation_mm": (0.0448, 2),
        "area_loss_percent": (1.31, 1.16),
        "contact_area_0_mm2": (0, 2.3),
        "contact_area_1_mm2": (0.0128, 1.54),
    },
    "share": {
        "volume_mm3": (0.00137, 1.52),
        "length_mm": (0.0346, 5.62),
        "mean_area_mm2": (0.000897, 0.539),
        "min_area_mm2": (0.007, 0.881),
        "flattening": (0.00201, 1.52),
        "angle_deg": (0.279, 1.85),
        "gap_mm": (0.0092, 6.46),
        "contact_area_mm2": (0.00888, 2.69),
        "contact_length_mm": (0.0236, 1.9),
        "contact_position_mm": (0.0257, 3.18),
        "vessel_diameter_mm": (0.00608, 1.26),
        "crossing_angle_deg": (0.147, 2.51),
        "displacement_mm": (0, 2.95),
        "indentation_mm": (0.0262, 1.83),
        "area_loss_percent": (0.32, 1.04),
        "contact_area_0_mm2": (0, 4.5),
        "contact_area_1_mm2": (0.00238, 3),
    },
    "predicted": {
        "volume_mm3": (0.00955, 9.12),
        "length_mm": (0.0992, 8.72),
        "mean_area_mm2": (0.00904, 8.59),
        "min_area_mm2": (0.0249, 5.67),
        "flattening": (0.00625, 4.64),
        "angle_deg": (0.876, 9.87),
        "gap_mm": (0.0671, 5.87),
        "contact_area_mm2": (0.256, 10.3),
        "contact_length_mm": (0.718, 5.48),
        "contact_position_mm": (0.111, 27.7),
        "vessel_diameter_mm": (0.171, 4.92),
        "crossing_angle_deg": (0.707, 15.8),
        "displacement_mm": (0.126, 13.2),
        "indentation_mm": (0.0886, 11.1),
        "area_loss_percent": (2.21, 6.89),
        "contact_area_1_mm2": (0.0807, 6.91),
    },
}
