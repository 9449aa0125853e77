"""Floor and factor of the intervals, as found on phantoms.

Printed by ``benchmarks/science/nerve_measures.py --calibrate`` (seeds 100 to 179).
"""

from __future__ import annotations

__all__ = ["CALIBRATION"]

CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "mask": {
        "volume_mm3": (0.00674, 2.14),
        "length_mm": (0.106, 2.97),
        "mean_area_mm2": (0.00608, 2.24),
        "min_area_mm2": (0.0245, 2.46),
        "flattening": (0.00617, 2.98),
        "angle_deg": (1.16, 4.2),
        "gap_mm": (0.0368, 4.43),
        "contact_area_mm2": (0.0495, 1.59),
        "contact_length_mm": (0.113, 1.52),
        "contact_position_mm": (0.0902, 1.87),
        "vessel_diameter_mm": (0.0345, 1.29),
        "crossing_angle_deg": (1.02, 3.58),
        "displacement_mm": (0.0846, 5.06),
        "indentation_mm": (0.08, 1.84),
        "area_loss_percent": (2.12, 1.69),
        "contact_area_0_mm2": (0.0536, 7.65),
        "contact_area_1_mm2": (0.0115, 1.95),
    },
    "share": {
        "volume_mm3": (0.00138, 1.69),
        "length_mm": (0.0347, 5.58),
        "mean_area_mm2": (0.00102, 0.698),
        "min_area_mm2": (0.00816, 1),
        "flattening": (0.00184, 1.68),
        "angle_deg": (0.297, 1.7),
        "gap_mm": (0.00796, 10.6),
        "contact_area_mm2": (0.00984, 3.27),
        "contact_length_mm": (0.0267, 2.07),
        "contact_position_mm": (0.0269, 3.74),
        "vessel_diameter_mm": (0.00633, 1.31),
        "crossing_angle_deg": (0.166, 3.19),
        "displacement_mm": (0, 2.96),
        "indentation_mm": (0.0264, 2.71),
        "area_loss_percent": (0.295, 1.77),
        "contact_area_0_mm2": (0, 5.84),
        "contact_area_1_mm2": (0.00364, 3.24),
    },
}
