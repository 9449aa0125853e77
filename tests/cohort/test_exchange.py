"""Cohorts to and from MuData, in memory and through h5mu."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, Column, from_mudata
from precisionpain.errors import AlignmentError, FormatError

from .test_storage import assert_same, full_cohort
from .toy import toy_cohort


def through_file(container: mudata.MuData, folder: Path) -> mudata.MuData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # mudata's own
        container.write(folder / "c.h5mu")
        return mudata.read(folder / "c.h5mu")


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    whole = full_cohort(tmp_path)
    entries = [{"step": "read", "table": "subjects", "n": 8}]
    return Cohort(**whole._parts() | {"provenance": entries})


def without_assays(cohort: Cohort) -> Cohort:
    return Cohort(**cohort._parts() | {"assays": {}})


def test_round_trip_in_memory(cohort):
    assert_same(from_mudata(cohort.to_mudata()), cohort)


def test_round_trip_through_a_file(cohort, tmp_path):
    """All tables exactly; the assays as h5 keeps them, with text as categories."""
    again = from_mudata(through_file(cohort.to_mudata(), tmp_path))
    assert_same(without_assays(again), without_assays(cohort))
    mine, theirs = cohort.assays["csf_pea"], again.assays["csf_pea"]
    pd.testing.assert_frame_equal(mine.to_df(), theirs.to_df())
    np.testing.assert_array_equal(mine.layers["raw"], theirs.layers["raw"])
    for axis in ("obs", "var"):
        one, two = (
            table.astype(object).where(table.notna(), None)
            for table in (getattr(mine, axis), getattr(theirs, axis))
        )
        pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(again.availability, cohort.availability)
    pd.testing.assert_frame_equal(again.outcome("recurrence"), cohort.outcome("recurrence"))


@pytest.mark.filterwarnings("error")
def test_no_warnings_of_mudata(cohort):
    # The same proteins in two fluids, as it should be.
    both = cohort.with_assay("plasma", cohort.assays["csf_pea"])
    assert set(from_mudata(both.to_mudata()).assays) == {"csf_pea", "plasma"}


def test_what_others_see(cohort):
    container = cohort.to_mudata()
    assert set(container.mod) == {"clinical", "csf_pea"}
    people = container["clinical"]
    assert list(people.obs_names) == list(cohort.subject_ids)
    assert set(people.obs) == set(cohort.subjects)
    assert people.obs["sex"].tolist() == cohort.subjects["sex"].tolist()
    numeric = [c for c in cohort.predictors if pd.api.types.is_numeric_dtype(cohort.subjects[c])]
    assert list(people.var_names) == numeric
    expected = cohort.subjects["age"].to_numpy(float)
    np.testing.assert_array_equal(people[:, "age"].X.ravel(), expected)
    assert not {"bni", "recurred"} & set(people.var_names)


def test_changes_of_the_container_stay_outside(cohort):
    container = cohort.to_mudata()
    container["csf_pea"].X[:] = -1
    container["clinical"].obs["age"] = -1
    assert cohort.subjects["age"].min() > 0
    assert (cohort.assays["csf_pea"].X != -1).any()
    again = from_mudata(container)
    container["csf_pea"].X[:] = -2
    assert (again.assays["csf_pea"].X == -1).all()


def test_a_container_cut_to_some_people():
    cohort = toy_cohort(12)
    container = cohort.to_mudata()
    chosen = ["p007", "p002"]
    small = mudata.MuData(
        {
            "clinical": container["clinical"][chosen].copy(),
            "csf_pea": container["csf_pea"][:4].copy(),
        }
    )
    small.uns = container.uns
    again = from_mudata(small)
    assert again.subject_ids.tolist() == chosen
    assert again.flow.frame()["step"].tolist() == ["recruited", "not in MuData"]
    pd.testing.assert_frame_equal(again.subjects, cohort.subjects.loc[chosen])
    assert set(again.visits["subject_id"]) == set(chosen)
    assert again.assays["csf_pea"].obs["subject_id"].tolist() == ["p002"]


def test_a_container_with_renamed_people():
    container = toy_cohort(4).to_mudata()
    container["clinical"].obs_names = ["a", "b", "c", "d"]
    with pytest.raises(AlignmentError, match="unknown: 'a'"):
        from_mudata(container)


def test_only_subjects_and_no_clash():
    for view in (toy_cohort(4).per_nerve(), toy_cohort(4).per_visit()):
        with pytest.raises(FormatError, match="cohort of subjects"):
            view.to_mudata()
    clash = toy_cohort(4).with_assay("clinical", toy_cohort(4).assays["csf_pea"])
    with pytest.raises(FormatError, match="'clinical' clashes"):
        clash.to_mudata()
    mixed = toy_cohort(4).with_columns(
        pd.DataFrame({"odd": [1, "a", 2, "b"]}, index=[f"p{i:03d}" for i in range(4)])
    )
    with pytest.raises(FormatError, match="'odd'"):
        mixed.to_mudata()


# --- from others ---------------------------------------------------------------------------


def foreign(**obs) -> anndata.AnnData:
    index = obs.pop("names", ["s0", "s1", "s2"])
    return anndata.AnnData(
        np.arange(6.0).reshape(3, 2),
        obs=pd.DataFrame(obs, index=index),
        var=pd.DataFrame(index=["v", "w"]),
    )


def container_of(**modalities) -> mudata.MuData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(modalities)


@pytest.mark.filterwarnings("error")
def test_a_foreign_container_with_subjects_in_obs():
    rna = foreign(subject_id=["a", "b", "a"])
    protein = foreign(subject_id=["c", "a", "b"], names=["t0", "t1", "t2"])
    given = container_of(rna=rna, protein=protein)
    cohort = from_mudata(given)
    assert sorted(cohort.subject_ids) == ["a", "b", "c"]
    assert cohort.has("rna")[["a", "b", "c"]].tolist() == [True, True, False]
    assert cohort.has("protein").all()
    assert cohort.select(["b"]).assays["rna"].X.tolist() == [[2, 3]]


def test_a_foreign_container_of_one_sample_each():
    cohort = from_mudata(container_of(rna=foreign(names=["a", "b", "c"])))
    assert cohort.subject_ids.tolist() == ["a", "b", "c"]
    assert cohort.assays["rna"].obs["subject_id"].tolist() == ["a", "b", "c"]


def test_a_foreign_container_with_clinical_people():
    clinical = foreign(names=["a", "b", "c"], sex=["f", "m", "f"])
    rna = foreign(subject_id=["b", "b", "c"])
    given = container_of(clinical=clinical, rna=rna)
    before = given["clinical"].obs.copy()
    cohort = from_mudata(given)
    assert cohort.subjects["sex"].tolist() == ["f", "m", "f"]
    assert cohort.subjects[["v", "w"]].to_numpy().tolist() == [[0, 1], [2, 3], [4, 5]]
    assert cohort.has("rna").tolist() == [False, True, True]
    pd.testing.assert_frame_equal(given["clinical"].obs, before)
    strangers = container_of(clinical=clinical, rna=foreign(subject_id=["b", "q", "c"]))
    with pytest.raises(AlignmentError, match="unknown: 'q'"):
        from_mudata(strangers)


def test_a_foreign_container_through_a_file(tmp_path):
    given = container_of(
        clinical=foreign(names=["a", "b", "c"], sex=["f", "m", None]),
        rna=foreign(subject_id=["b", "b", "c"]),
    )
    cohort = from_mudata(through_file(given, tmp_path))
    assert cohort.subjects["sex"].dropna().tolist() == ["f", "m"]
    assert cohort.has("rna").tolist() == [False, True, True]


def test_columns_that_h5mu_does_not_know(tmp_path):
    """Dates, spans and flags with gaps are shown as h5mu can, and come back exactly."""
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2020-01-01", None]),
            "span": pd.to_timedelta([1, None], unit="D"),
            "flag": np.array([True, None], dtype=object),
            "none": [None, None],
            "real": pd.array([1.5, None], dtype="Float64"),
        },
        index=["a", "b"],
    )
    cohort = Cohort(frame, columns={"when": Column(role="note")})
    container = through_file(cohort.to_mudata(), tmp_path)
    shown = container["clinical"].obs
    assert shown["when"].tolist()[0] == "2020-01-01"
    assert shown["flag"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(from_mudata(container).subjects, cohort.subjects)
