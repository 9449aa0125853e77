"""Floor and factor of the intervals, found on phantoms by benchmarks/science/nerve_intervals.py."""

from __future__ import annotations

__all__ = ["CALIBRATION"]

CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "mask": {
        "volume_mm3": (0.05, 2.0),
        "length_mm": (0.05, 2.0),
        "mean_area_mm2": (0.05, 2.0),
        "min_area_mm2": (0.05, 2.0),
        "flattening": (0.05, 2.0),
        "angle_deg": (0.05, 2.0),
        "gap_mm": (0.05, 2.0),
        "contact_area_mm2": (0.05, 2.0),
        "contact_length_mm": (0.05, 2.0),
        "contact_position_mm": (0.05, 2.0),
        "vessel_diameter_mm": (0.05, 2.0),
        "crossing_angle_deg": (0.05, 2.0),
        "displacement_mm": (0.05, 2.0),
        "indentation_mm": (0.05, 2.0),
        "area_loss_percent": (0.05, 2.0),
        "contact_area_0_mm2": (0.05, 2.0),
        "contact_area_1_mm2": (0.05, 2.0),
    },
    "share": {
        "volume_mm3": (0.05, 2.0),
        "length_mm": (0.05, 2.0),
        "mean_area_mm2": (0.05, 2.0),
        "min_area_mm2": (0.05, 2.0),
        "flattening": (0.05, 2.0),
        "angle_deg": (0.05, 2.0),
        "gap_mm": (0.05, 2.0),
        "contact_area_mm2": (0.05, 2.0),
        "contact_length_mm": (0.05, 2.0),
        "contact_position_mm": (0.05, 2.0),
        "vessel_diameter_mm": (0.05, 2.0),
        "crossing_angle_deg": (0.05, 2.0),
        "displacement_mm": (0.05, 2.0),
        "indentation_mm": (0.05, 2.0),
        "area_loss_percent": (0.05, 2.0),
        "contact_area_0_mm2": (0.05, 2.0),
        "contact_area_1_mm2": (0.05, 2.0),
    },
}
