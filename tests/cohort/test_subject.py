"""One person: own data only, read-only, images on demand, a fingerprint of all of it."""

from __future__ import annotations

import os
import pickle

import anndata
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, Subject
from precisionpain.errors import AlignmentError, MissingModalityError

from .toy import toy_cohort, toy_parts


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    """Eight people; p000 has three images, one of them only listed."""
    rows = []
    for visit, contrast, run, value in (
        ("preop", "T1w", 1, 1.0),
        ("preop", "T1w", 2, 2.0),
        ("followup", "T2w", None, 3.0),
    ):
        path = tmp_path / f"{visit}_{contrast}_{run}.nii.gz"
        nib.Nifti1Image(np.full((2, 3, 4), value), np.eye(4)).to_filename(path)
        rows.append(("p000", visit, contrast, run, str(path), True, None))
    gone = str(tmp_path / "gone.nii.gz")
    rows.append(("p000", "preop", "FLAIR", None, gone, False, "not downloaded"))
    rows.append(("p001", "preop", "T1w", None, str(tmp_path / "p001.nii.gz"), True, None))
    names = ["subject_id", "visit", "contrast", "run", "path", "present", "reason"]
    return toy_cohort(8, images=pd.DataFrame(rows, columns=names))


def test_own_data_only(cohort):
    person = cohort.subject("p001")
    assert person.id == "p001"
    pd.testing.assert_series_equal(person.clinical, cohort.subjects.loc["p001"])
    assert person.visits.to_dict("list") == {"visit": ["preop", "followup"], "day": [-9, 365]}
    assert set(person.measurements["nerve"]["subject_id"]) == {"p001"}
    assert person.measurements["scores"].empty
    owners = person.assays["csf_pea"].obs["subject_id"]
    assert owners.dropna().tolist() == ["p001", "p001"]
    assert owners.isna().sum() == 1
    assert len(person.images) == 1


def test_the_side_of_the_pain():
    frame = pd.DataFrame(
        {"affected_side": pd.array(["left", "bilateral", None], dtype="string")}, index=list("abc")
    )
    cohort = Cohort(frame)
    assert [p.affected_side for p in cohort] == ["left", "bilateral", None]
    assert Cohort(pd.DataFrame(index=["a"])).subject("a").affected_side is None


@pytest.mark.parametrize(
    ("identifier", "message"),
    [("p1", "zero padding"), ("nobody", "unknown"), (1, "unknown"), (None, "unknown"), ("", "unk")],
)
def test_unknown_people(cohort, identifier, message):
    for make in (cohort.subject, lambda one: Subject(cohort, one)):
        with pytest.raises(AlignmentError, match=message):
            make(identifier)


def test_people_of_another_fold_are_unknown(cohort):
    part = cohort[[1, 2]]
    assert part.subject("p002").id == "p002"
    for make in (part.subject, lambda one: Subject(part, one)):
        with pytest.raises(AlignmentError, match="unknown: 'p000'"):
            make("p000")


@pytest.mark.filterwarnings("error")
def test_read_only(cohort):
    person = cohort.subject("p000")
    before = person.fingerprint()
    with pytest.raises(AttributeError, match="read-only"):
        person.clinical = None
    clinical = person.clinical
    clinical["age"] = -1
    images = person.images
    images["present"] = False
    person.assays["csf_pea"].X[:] = 0
    assert person.fingerprint() == before == cohort.subject("p000").fingerprint()


def test_pickled_alone(cohort):
    person = cohort.subject("p002")
    data = pickle.dumps(person)
    for other in set(cohort.subject_ids) - {"p002"}:
        assert other.encode() not in data
    again = pickle.loads(data)
    assert again.id == "p002"
    assert again.fingerprint() == person.fingerprint()
    pd.testing.assert_series_equal(again.clinical, person.clinical)
    assert list(again.measurements) == list(person.measurements)
    assert again.affected_side == person.affected_side
    assert pickle.loads(pickle.dumps(again)).fingerprint() == person.fingerprint()
    assert again.assays["csf_pea"].n_obs == 2  # one sample and the control


def test_the_size_of_a_pickled_person_is_the_persons():
    small, large = toy_cohort(40), toy_cohort(400)
    sizes = [len(pickle.dumps(cohort.subject("p003"))) for cohort in (small, large)]
    assert sizes[1] < 1.1 * sizes[0]


def test_no_id_in_the_repr(cohort):
    text = repr(cohort.subject("p000"))
    assert text == ("<synthetic Subject: 2 visits, 3 of 4 images on disk, 1 assays, 2 tables>")


# --- images ------------------------------------------------------------------------------


def test_load_an_image(cohort):
    person = cohort.subject("p000")
    assert np.unique(person.image("T2w").get_fdata()) == 3
    assert np.unique(person.image("T1w", run=2).get_fdata()) == 2
    assert np.unique(person.image("T1w", visit="preop", run=1).get_fdata()) == 1


def test_several_images(cohort):
    with pytest.raises(AlignmentError, match="2 images 'T1w' match") as caught:
        cohort.subject("p000").image("T1w", visit="preop")
    assert "say which: run=1, 2" in str(caught.value)


def test_images_that_nothing_tells_apart():
    images = pd.DataFrame(
        {"subject_id": "p000", "visit": "preop", "contrast": "T1w", "path": ["/a", "/b"]}
    )
    with pytest.raises(AlignmentError, match="a column that tells them apart"):
        toy_cohort(4, images=images).subject("p000").image("T1w")


def test_images_that_are_not_there(cohort):
    person = cohort.subject("p000")
    with pytest.raises(MissingModalityError, match="'FLAIR', 'T1w', 'T2w'"):
        person.image("bold")
    with pytest.raises(MissingModalityError, match="no image 'T1w'"):
        person.image("T1w", run=7)
    with pytest.raises(MissingModalityError, match="no column 'acq'"):
        person.image("T1w", acq="highres")
    with pytest.raises(MissingModalityError, match=r"not on disk \(not downloaded\)") as caught:
        person.image("FLAIR")
    assert "fetch the file" in str(caught.value)


# --- fingerprint -------------------------------------------------------------------------


def fingerprint(change=None, identifier: str = "p001") -> str:
    parts = toy_parts(8)
    parts["assays"]["csf_pea"].layers["raw"] = parts["assays"]["csf_pea"].X.copy()
    if change is not None:
        change(parts)
    return Cohort(**parts).subject(identifier).fingerprint()


def set_cell(table: pd.DataFrame, column: str, value) -> None:
    row = (
        table.index[0]
        if "subject_id" not in table
        else table.index[table["subject_id"] == "p001"][0]
    )
    table.loc["p001" if "subject_id" not in table else row, column] = value


def nudge_assay(parts) -> None:
    parts["assays"]["csf_pea"].X[1, 0] += 1e-12


def nudge_layer(parts) -> None:
    parts["assays"]["csf_pea"].layers["raw"][1, 0] += 1e-12


def nudge_control(parts) -> None:
    parts["assays"]["csf_pea"].X[-1, 0] += 1e-12


def rename_feature(parts) -> None:
    parts["assays"]["csf_pea"].var_names = list("ZBCDEF")


def describe_feature(parts) -> None:
    parts["assays"]["csf_pea"].var["gene"] = "g"


def move_sample(parts) -> None:
    parts["assays"]["csf_pea"].obs.loc["s001", "visit"] = "followup"


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: set_cell(parts["subjects"], "age", 1.0),
        lambda parts: set_cell(
            parts["subjects"], "age", parts["subjects"].at["p001", "age"] + 1e-13
        ),
        lambda parts: set_cell(parts["subjects"], "sex", "other"),
        lambda parts: set_cell(parts["subjects"], "remark", None),
        lambda parts: parts["subjects"].insert(0, "new", 1),
        lambda parts: parts["subjects"].rename(columns={"age": "Age"}, inplace=True),
        lambda parts: set_cell(parts["visits"], "day", -8.5),
        lambda parts: set_cell(parts["measurements"]["nerve"], "volume_mm3", 1e-15),
        lambda parts: parts["measurements"].update(other=parts["measurements"].pop("nerve")),
        nudge_assay,
        nudge_layer,
        nudge_control,
        rename_feature,
        describe_feature,
        move_sample,
    ],
)
def test_whatever_changes_changes_the_fingerprint(change):
    assert fingerprint(change) != fingerprint()


def test_what_is_not_this_persons_changes_nothing():
    def other_people(parts):
        for table in (parts["subjects"], parts["visits"]):
            mine = table.index == "p001" if table.index.name else table["subject_id"] == "p001"
            number = table.select_dtypes("number").columns
            table.loc[~mine, number] += 1
        parts["visits"]["day"] = parts["visits"]["day"].where(parts["visits"]["day"] < 300, 365)
        parts["visits"]["day"] = parts["visits"]["day"].where(parts["visits"]["day"] > 0, -9)
        parts["assays"]["csf_pea"].X[0] += 1
        parts["name"] = "another"

    assert fingerprint(other_people) == fingerprint()
    assert fingerprint(identifier="p002") != fingerprint()
    cohort = toy_cohort(8)
    assert cohort[[3, 1]].subject("p001").fingerprint() == cohort.subject("p001").fingerprint()


def test_shuffled_tables_keep_the_fingerprint_of_the_clinic():
    def shuffle(parts):
        parts["subjects"] = parts["subjects"].iloc[::-1]

    assert fingerprint(shuffle) == fingerprint()


def test_fingerprint_of_files(cohort, tmp_path):
    before = cohort.subject("p000").fingerprint()
    path = tmp_path / "preop_T1w_1.nii.gz"
    os.utime(path, ns=(1, 1))
    touched = cohort.subject("p000").fingerprint()
    path.unlink()
    gone = cohort.subject("p000").fingerprint()
    assert len({before, touched, gone}) == 3
    assert len(before) == 32


def test_fingerprint_of_sparse_and_empty_assays():
    import scipy.sparse

    obs = pd.DataFrame({"subject_id": ["a", "b"]}, index=["s", "t"])
    people = pd.DataFrame(index=["a", "b"])
    dense = np.array([[0.0, 2.0], [3.0, 0.0]])
    prints = set()
    for matrix in (scipy.sparse.csr_matrix(dense), scipy.sparse.csr_matrix(dense * 2), None):
        adata = anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=["v", "w"]))
        prints.add(Cohort(people, assays={"a": adata}).subject("a").fingerprint())
    assert len(prints) == 3
