"""Radiomics against every reference value of the IBSI 1 digital phantom."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from precisionpain.imaging.radiomics import radiomics, radiomics_table

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("PRECISIONPAIN_DATA", _DEFAULT)) / "radiomics" / "ibsi1"
TABLE = FOLDER / "ibsi_1_reference_values" / "ibsi_1_dig_phantom.csv"

AGGREGATIONS = {
    "2D": "2d_averaged",
    "2D_avg": "2d_averaged",
    "2D_comb": "2d_merged",
    "2_5D": "2.5d_averaged",
    "2_5D_avg": "2.5d_averaged",
    "2_5D_comb": "2.5d_merged",
    "3D": "3d_averaged",
    "3D_avg": "3d_averaged",
    "3D_comb": "3d_merged",
    "": "3d_averaged",
}
# IBSI lists these without a value: programs didn't agree on one.
WITHOUT_VALUE = {
    "morph_vol_dens_ombb",
    "morph_area_dens_ombb",
    "morph_vol_dens_mvee",
    "morph_area_dens_mvee",
    "ivh_auc",
}


def rows() -> list[dict[str, str]]:
    if not TABLE.is_file():
        return []
    with TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=";"))


ROWS = rows()


@pytest.fixture(scope="module")
def phantom(shared_data):
    if not ROWS:
        pytest.skip(f"reference values absent: {TABLE}")
    return {
        aggregation: radiomics(
            FOLDER / "nifti" / "image" / "phantom.nii.gz",
            FOLDER / "nifti" / "mask" / "mask.nii.gz",
            features="all", discretisation=None, ivh_discretisation=None, aggregation=aggregation,
        )
        for aggregation in set(AGGREGATIONS.values())
    }  # fmt: skip


def split(tag: str) -> tuple[str, str]:
    """Split a tag of the table into that of the feature and that of the aggregation."""
    found = re.fullmatch(r"(.*?)(?:_((?:2D|2_5D|3D)(?:_avg|_comb)?))?", tag)
    assert found is not None
    return found[1], found[2] or ""


def test_table_is_whole(phantom):
    assert len(ROWS) == 487
    assert {row["tag"] for row in ROWS if not row["reference value"]} == WITHOUT_VALUE
    # Nothing in the table is unknown here, and nothing here is missing in the table.
    known = set(radiomics_table()["ibsi_tag"])
    assert {split(row["tag"])[0] for row in ROWS} == known


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["reference value"]], ids=lambda row: row["tag"]
)
def test_reference_value(phantom, row):
    tag, aggregation = split(row["tag"])
    table = radiomics_table()
    (name,) = table.index[table["ibsi_tag"] == tag]
    value = phantom[AGGREGATIONS[aggregation]][name]
    # The reference values have three digits; a tolerance of zero means that these agree.
    rounded = float(f"{value:.3g}")
    slack = float(row["tolerance"]) + 1e-9
    assert abs(rounded - float(row["reference value"])) <= slack


@pytest.mark.parametrize("tag", sorted(WITHOUT_VALUE))
def test_without_reference_value_is_never_a_default(phantom, tag):
    table = radiomics_table()
    (name,) = table.index[table["ibsi_tag"] == tag]
    assert "no reference value" in table.loc[name, "never"]
    assert 0 < phantom["3d_merged"][name] < 1
