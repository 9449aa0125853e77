"""Floor and factor of the intervals, as found on phantoms.

"mask" and "share": ``benchmarks/science/nerve_measures.py --calibrate`` (its seeds). "predicted",
which is for labels of the packaged segmenter: ``benchmarks/science/segmentation.py --calibrate``
(it has no interval for the contact area at 0 mm, of which those labels know nothing).
"""

from __future__ import annotations

__all__ = ["CALIBRATION"]

CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "mask": {
        "volume_mm3": (0.00672, 2.65),
        "length_mm": (0.0999, 3.15),
        "mean_area_mm2": (0.00635, 2.54),
        "min_area_mm2": (0.0203, 2.33),
        "flattening": (0.00626, 3.47),
        "angle_deg": (1.15, 3.46),
        "gap_mm": (0.0417, 3.05),
        "contact_area_mm2": (0.0398, 1.6),
        "contact_length_mm": (0.128, 1.54),
        "contact_position_mm": (0.0987, 1.97),
        "vessel_diameter_mm": (0.0331, 1.29),
        "crossing_angle_deg": (1.02, 2.75),
        "displacement_mm": (0.111, 5.24),
        "indentation_mm": (0.0454, 2.01),
        "area_loss_percent": (1.31, 1.11),
        "contact_area_0_mm2": (0, 2.3),
        "contact_area_1_mm2": (0.0128, 1.54),
    },
    "share": {
        "volume_mm3": (0.00139, 1.52),
        "length_mm": (0.0347, 5.8),
        "mean_area_mm2": (0.000898, 0.542),
        "min_area_mm2": (0.00677, 0.89),
        "flattening": (0.00192, 1.5),
        "angle_deg": (0.276, 1.74),
        "gap_mm": (0.00796, 8.83),
        "contact_area_mm2": (0.00903, 2.68),
        "contact_length_mm": (0.0259, 1.77),
        "contact_position_mm": (0.0255, 3.45),
        "vessel_diameter_mm": (0.0063, 1.32),
        "crossing_angle_deg": (0.142, 2.55),
        "displacement_mm": (0, 2.43),
        "indentation_mm": (0.0251, 1.8),
        "area_loss_percent": (0.335, 1.32),
        "contact_area_0_mm2": (0, 4.48),
        "contact_area_1_mm2": (0.0024, 3.12),
    },
    "predicted": {
        "volume_mm3": (0.0974, 9.44),
        "length_mm": (0.232, 48.4),
        "mean_area_mm2": (0.0943, 3.41),
        "min_area_mm2": (0.103, 9.4),
        "flattening": (0.0412, 3.69),
        "angle_deg": (2.83, 7.2),
        "gap_mm": (0.394, 19),
        "contact_area_mm2": (3.82, 9.94),
        "contact_length_mm": (3.53, 3.08),
        "contact_position_mm": (0.776, 19.7),
        "vessel_diameter_mm": (0.976, 2.4),
        "crossing_angle_deg": (4.63, 8.16),
        "displacement_mm": (0.542, 7.51),
        "indentation_mm": (0.112, 12.2),
        "area_loss_percent": (2.51, 8.69),
        "contact_area_1_mm2": (0.672, 99.8),
    },
}
