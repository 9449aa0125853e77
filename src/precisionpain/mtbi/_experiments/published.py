"""What the study printed: Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587."""

from __future__ import annotations

__all__ = ["FIGURES", "MEASURES", "N_CHRONIC", "N_FOLDS", "PUBLISHED", "TABLE_ONE", "N"]

N, N_CHRONIC, N_FOLDS = 128, 55, 8

MEASURES = ("accuracy", "precision", "recall", "f1", "auc")

# Tables 2 to 4: means over the eight folds, except for the best fold.
FIGURES: dict[str, tuple[float, float, float, float, float]] = {
    "axial_best_fold": (0.69, 0.56, 0.83, 0.67, 0.78),
    "axial": (0.59, 0.50, 0.36, 0.39, 0.56),
    "coronal": (0.45, 0.12, 0.23, 0.15, 0.47),
    "sagittal": (0.50, 0.24, 0.20, 0.21, 0.39),
    "stratified_axial_2mm": (0.59, 0.56, 0.36, 0.41, 0.55),
    "stratified_axial_1mm": (0.53, 0.44, 0.25, 0.29, 0.50),
    "seed_53": (0.63, 0.65, 0.42, 0.48, 0.59),
    "seed_123": (0.57, 0.42, 0.15, 0.21, 0.54),
    "class_weight_1.5": (0.48, 0.43, 0.54, 0.43, 0.57),
    "augmentation": (0.52, 0.38, 0.20, 0.24, 0.57),
    "ensemble_majority": (0.54, 0.36, 0.20, 0.36, 0.46),
    "ensemble_mean": (0.55, 0.46, 0.31, 0.41, 0.48),
    "resnet10": (0.52, 0.19, 0.11, 0.14, 0.52),
    "resnet34": (0.59, 0.49, 0.23, 0.30, 0.60),
    "resnet50": (0.55, 0.39, 0.39, 0.35, 0.57),
    "random_forest": (0.68, 0.60, 0.72, 0.63, 0.77),
    "xgboost": (0.68, 0.69, 0.78, 0.71, 0.70),
    "random_forest_stratified": (0.70, 0.67, 0.69, 0.66, 0.80),
    "xgboost_stratified": (0.68, 0.71, 0.78, 0.74, 0.73),
}

PUBLISHED: dict[str, dict[str, float]] = {
    row: dict(zip(MEASURES, figures, strict=True)) for row, figures in FIGURES.items()
}

# Table 1, as printed, by variable and level: chronic pain, recovery, total, p, W.
TABLE_ONE: dict[tuple[str, str], tuple[str, str, str, str, str]] = {
    ("patients", "n"): ("55 (43%)", "73 (57%)", "128", "0.112", ""),
    ("age", "mean ± SD"): ("36.9 ± 12.0", "36.4 ± 11.2", "36.6 ± 11.5", "0.874", ""),
    ("sex", "female"): ("27", "30", "57", "0.471", ""),
    ("sex", "male"): ("28", "43", "71", "", ""),
    ("head_baseline", "mean ± SD"):
        ("48.2 ± 28.5", "37.5 ± 25.2", "42.1 ± 27.1", "0.035", "2446.5"),
    ("neck_baseline", "mean ± SD"):
        ("60.5 ± 25.4", "43.8 ± 28.0", "51.0 ± 28.1", "0.001", "2682"),
    ("max_baseline", "mean ± SD"):
        ("63.7 ± 25.1", "51.3 ± 25.7", "56.6 ± 26.1", "0.007", "2570.5"),
    ("head_12mo", "mean ± SD"):
        ("50.5 ± 31.7", "2.3 ± 6.1", "23.0 ± 32.0", "<0.001", "3558.5"),
    ("neck_12mo", "mean ± SD"):
        ("48.5 ± 27.8", "1.95 ± 5.5", "21.9 ± 29.7", "<0.001", "3700.5"),
    ("max_12mo", "mean ± SD"):
        ("63.0 ± 20.9", "3.4 ± 7.5", "29.0 ± 33.1", "<0.001", "4015"),
}  # fmt: skip
