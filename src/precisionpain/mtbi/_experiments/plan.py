"""The rows of Tables 2 to 4: what each of them trains, and in which folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ...errors import FormatError, list_some
from .published import PUBLISHED

__all__ = ["ROWS", "TABLES", "Folds", "Row", "chosen_rows"]

TABLES = (1, 2, 3, 4)
# The partition of the main results, one that is stratified, or that of another seed.
Folds = Literal["plain", "stratified"] | int


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Parameters
    ----------
    table : int
        2, 3 or 4.
    name, label : str
        For programs and for people.
    kind : {"network", "ensemble", "bedside", "optimistic"}
        What is trained.
    settings : mapping
        What differs from the main network; of a bedside model its kind and features; of an
        ensemble its way to vote.
    folds : {"plain", "stratified"} or int
        A number is the seed of unstratified folds.
    note : str
        What the reader should know.
    opt_in : bool
        Whether it is computed only when it is named.
    fine : bool
        Whether it takes the scans at 1 mm.
    best_fold : bool
        Whether it shows the best fold only.
    """

    table: int
    name: str
    label: str
    kind: Literal["network", "ensemble", "bedside", "optimistic"] = "network"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    folds: Folds = "plain"
    note: str = ""
    opt_in: bool = False
    fine: bool = False
    best_fold: bool = False

    @property
    def published(self) -> Mapping[str, float]:
        """The printed figures; none for a row that the study doesn't have."""
        return PUBLISHED.get(self.name, {})


_OURS = "not in the study"
_NECK = {"kind": "logistic", "features": ("neck_baseline",)}
_IMPOSSIBLE = "its printed F1 is above what its printed precision and recall allow"

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(2, "axial_best_fold", "Axial (best fold)", best_fold=True,
            note="the best of several folds is high by luck alone; read the next row"),
        Row(2, "axial", "Axial"),
        Row(2, "coronal", "Coronal", settings={"plane": "coronal"}),
        Row(2, "sagittal", "Sagittal", settings={"plane": "sagittal"}),
        Row(2, "paper_optimistic", "Axial, OPTIMISTIC: epoch chosen on the test people",
            kind="optimistic", opt_in=True,
            note=f"{_OURS}; NOT A RESULT: of each fold the epoch that suits its test people best, "
            "to show how much such a choice gains"),
        Row(3, "stratified_axial_2mm", "Stratified partition, axial (2 mm)", folds="stratified"),
        Row(3, "stratified_axial_1mm", "Stratified partition, axial (1 mm)", folds="stratified",
            fine=True),
        Row(3, "seed_53", "Different partition (seed 53)", folds=53),
        Row(3, "seed_123", "Different partition (seed 123)", folds=123),
        Row(3, "class_weight_1.5", "Different class weights (1.5)", settings={"pos_weight": 1.5}),
        Row(3, "augmentation", "Augmentation", settings={"augmentation": "paper"},
            note="flips and noise for everybody; the study made further positives with them"),
        Row(3, "ensemble_majority", "Ensemble, majority voting", kind="ensemble",
            settings={"voting": "majority"}, note=_IMPOSSIBLE),
        Row(3, "ensemble_mean", "Ensemble, average probability", kind="ensemble",
            settings={"voting": "mean"}, note=_IMPOSSIBLE),
        Row(3, "resnet10", "ResNet-10", settings={"depth": 10}),
        Row(3, "resnet34", "ResNet-34", settings={"depth": 34}),
        Row(3, "resnet50", "ResNet-50", settings={"depth": 50}),
        Row(4, "random_forest", "Random forest", "bedside", {"kind": "random_forest"}),
        Row(4, "xgboost", "XGBoost", "bedside", {"kind": "xgboost"}),
        Row(4, "neck_pain", "Neck pain alone", "bedside", _NECK, note=_OURS),
        Row(4, "random_forest_stratified", "Random forest (stratified)", "bedside",
            {"kind": "random_forest"}, "stratified"),
        Row(4, "xgboost_stratified", "XGBoost (stratified)", "bedside",
            {"kind": "xgboost"}, "stratified"),
        Row(4, "neck_pain_stratified", "Neck pain alone (stratified)", "bedside", _NECK,
            "stratified", note=_OURS),
    )
}  # fmt: skip


def chosen_rows(tables: Sequence[int], rows: Sequence[str] | None) -> list[Row]:
    """Return the rows to compute, in the order of the study.

    Parameters
    ----------
    tables : sequence of int
        Any of 1 to 4.
    rows : sequence of str or None
        Names; None for all of these tables, but those that have to be named.

    Returns
    -------
    list of Row

    Raises
    ------
    FormatError
        For an unknown table or row, or a row of another table.
    """
    if isinstance(tables, int) or not tables or not set(tables) <= set(TABLES):
        raise FormatError(f"tables are any of {list_some(TABLES)}, found {tables!r}")
    if rows is None:
        return [row for row in ROWS.values() if row.table in tables and not row.opt_in]
    if isinstance(rows, str):
        raise FormatError(f"`rows` is a list of names, found {rows!r}", remedy=f"say [{rows!r}]")
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        raise FormatError(
            f"there is no row {list_some(unknown)}", remedy=f"rows are {list_some(ROWS, 40)}"
        )
    elsewhere = [name for name in rows if ROWS[name].table not in tables]
    if elsewhere:
        raise FormatError(
            f"row {elsewhere[0]!r} is in table {ROWS[elsewhere[0]].table}, and tables are "
            f"{list_some(tables)}",
            remedy="ask for its table too",
        )
    return [row for name, row in ROWS.items() if name in rows]
