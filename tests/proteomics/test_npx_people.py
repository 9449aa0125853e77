"""Whose sample it is: by table, by pattern, by function; always by the id."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort
from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import read_npx, write_npx

TEXT = """SampleID;OlinkID;Assay;PlateID;NPX
TN01-pre;OID1;IL1B;P1;1
TN02-pre;OID1;IL1B;P1;2
TN01-post;OID1;IL1B;P2;3
CONTROL_SAMPLE_AS 1;OID1;IL1B;P1;4
CONTROL_SAMPLE_AS 1;OID1;IL1B;P2;5
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(TEXT)
    return file


@pytest.fixture
def samples():
    """Rows in another order than those of the export."""
    return pd.DataFrame({
        "SampleID": ["TN01-post", "TN01-pre", "TN02-pre"],
        "subject_id": ["TN01", "TN01", "TN02"],
        "visit": ["followup", "preop", "preop"],
        "specimen": ["CSF", "CSF", "serum"],
        "Age": [61, 60, 44],
    })  # fmt: skip


def check(npx):
    people = npx.obs[npx.obs["sample_type"] == "SAMPLE"]
    assert people["subject_id"].to_dict() == {
        "TN01-pre": "TN01", "TN02-pre": "TN02", "TN01-post": "TN01"}  # fmt: skip
    controls = npx.obs[npx.obs["sample_type"] != "SAMPLE"]
    assert len(controls) == 2
    assert controls["subject_id"].isna().all()
    assert npx.X[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_table(path, samples):
    npx = read_npx(path, samples=samples)
    check(npx)
    assert npx.obs["visit"].iloc[:3].tolist() == ["preop", "preop", "followup"]
    assert npx.obs["specimen"].iloc[:3].tolist() == ["CSF", "serum", "CSF"]
    np.testing.assert_array_equal(npx.obs["Age"], [60, 44, 61, np.nan, np.nan])


@pytest.mark.parametrize("name", ["samples.csv", "samples.tsv", "samples.xlsx", "s.parquet"])
def test_table_from_a_file(path, samples, tmp_path, name):
    file = tmp_path / name
    if name.endswith("xlsx"):
        samples.to_excel(file, index=False)
    elif name.endswith("parquet"):
        samples.to_parquet(file)
    else:
        samples.to_csv(file, index=False, sep="\t" if name.endswith("tsv") else ";")
    check(read_npx(path, samples=file))


def test_table_by_index(path, samples):
    check(read_npx(path, samples=samples.set_index("SampleID")))
    check(read_npx(path, samples=samples.set_index("SampleID").rename_axis("sample_id")))


def test_table_says_what_is_a_control(path, samples):
    samples["sample_type"] = ["CONTROL", None, None]
    samples.loc[0, "subject_id"] = None
    npx = read_npx(path, samples=samples)
    assert npx.obs["sample_type"].tolist() == ["SAMPLE", "SAMPLE", "CONTROL", "CONTROL", "CONTROL"]
    assert npx.uns["precisionpain"]["sample_type_from"] == "samples="


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "1 ids .* more than once: 'TN01-post'"),
        (lambda t: t.iloc[1:], "lacks 1 samples of the export: 'TN01-post'"),
        (lambda t: t.assign(SampleID=["TN01-Post", *t["SampleID"][1:]]), "aren't in the export"),
        (lambda t: t.assign(subject_id=["TN01", None, "TN02"]), "no subject_id: 'TN01-pre'"),
        (lambda t: t.assign(Plate=["P2", "P2", "P1"]), "disagree about 'plate'.*'TN01-pre'"),
    ],
)
def test_table_that_does_not_fit(path, samples, change, message):
    with pytest.raises(AlignmentError, match=message):
        read_npx(path, samples=change(samples))


def test_table_without_subject(path, samples):
    with pytest.raises(FormatError, match="expected a column subject_id"):
        read_npx(path, samples=samples.rename(columns={"subject_id": "person"}))
    with pytest.raises(FormatError, match="column or an index SampleID"):
        read_npx(path, samples=samples.rename(columns={"SampleID": "tube"}))
    with pytest.raises(FormatError, match="give one of them"):
        read_npx(path, samples=samples, subject=r"(?P<subject>.*)")


def test_pattern(path):
    npx = read_npx(path, subject=r"(?P<subject>TN\d+)-(?P<visit>\w+)")
    check(npx)
    assert npx.obs["visit"].iloc[:3].tolist() == ["pre", "pre", "post"]
    with pytest.raises(AlignmentError, match=r"1 samples don't fit the pattern.*'TN01-post'"):
        read_npx(path, subject=r"(?P<subject>TN\d+)-pre")
    with pytest.raises(FormatError, match="expected a group"):
        read_npx(path, subject=r"(TN\d+).*")


def test_function(path):
    check(read_npx(path, subject=lambda name: name.split("-")[0]))
    npx = read_npx(path, subject=lambda name: tuple(name.split("-")))
    check(npx)
    assert npx.obs["visit"].iloc[2] == "post"
    npx = read_npx(path, subject=lambda name: {"subject_id": name[:4], "specimen": "CSF"})
    check(npx)
    assert npx.obs["specimen"].iloc[0] == "CSF"
    with pytest.raises(AlignmentError, match="no subject_id"):
        read_npx(path, subject=lambda name: None)


def test_column_of_the_file(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("SampleID;subject_id;Visit;OlinkID;Assay;NPX\na;007;preop;OID1;IL1B;1\n")
    npx = read_npx(path)
    assert npx.obs[["subject_id", "visit"]].iloc[0].tolist() == ["007", "preop"]


SUBJECTS = """SampleID;{name};OlinkID;Assay;Panel;NPX
a1;101;OID1;IL1B;Inflammation;1
a2;101;OID1;IL1B;Inflammation;2
b1;007;OID1;IL1B;Inflammation;3
CONTROL_SAMPLE 1;;OID1;IL1B;Inflammation;4
"""


@pytest.mark.parametrize("name", ["Subject", "subject", "SubjectID", "Subject ID", "subject_id"])
def test_subject_of_the_file(tmp_path, name):
    """Several samples of a person stay several rows, and a control belongs to nobody."""
    path = tmp_path / "own.csv"
    path.write_text(SUBJECTS.format(name=name))
    npx = read_npx(path)
    assert npx.obs["subject_id"].tolist() == ["101", "101", "007", None]
    assert npx.obs_names.tolist() == ["a1", "a2", "b1", "CONTROL_SAMPLE 1"]
    assert npx.uns["precisionpain"]["subject_from"].startswith("column")
    again = read_npx(write_npx(npx, tmp_path / "again.parquet"))
    assert again.obs["subject_id"].tolist() == ["101", "101", "007", None]


def test_numbers_of_subjects_stay_codes(tmp_path):
    """Numbers with a gap travel as floats in Parquet, and long ones would lose digits."""
    long = 9007199254740993  # 2**53 + 1
    for numbers, expected in ([101.0, 101.0, np.nan], "101"), ([long, long, long], str(long)):
        ids = ["a1", "a2", "CONTROL_SAMPLE 1"]
        table = pd.DataFrame({"SampleID": ids, "Subject": numbers, "OlinkID": "OID1",
                              "Assay": "IL1B", "NPX": [1.0, 2.0, 3.0]})  # fmt: skip
        for name in ("own.parquet", "own.csv"):
            path = tmp_path / name
            table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
            found = read_npx(path).obs["subject_id"]
            assert found.tolist() == [expected, expected, None]


def test_control_named_as_a_subject(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(SUBJECTS.format(name="Subject").replace("1;;", "1;pool;"))
    assert read_npx(path).obs["subject_id"].tolist() == ["101", "101", "007", None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("b1;007", "b1;"), "names nobody for 1 of 3 samples"),
        (lambda t: t + "a1;102;OID2;CXCL13;Neurology;5\n", "several people for one sample"),
        (lambda t: t.replace("Panel", "subject"), "'Subject', 'subject' don't agree"),
    ],
)
def test_subject_that_leaves_the_person_open(tmp_path, change, message):
    path = tmp_path / "own.csv"
    path.write_text(change(SUBJECTS.format(name="Subject")))
    with pytest.warns(DataWarning, match=message):
        npx = read_npx(path)
    assert npx.obs["subject_id"].tolist()[:3] == ["a1", "a2", "b1"]
    assert npx.uns["precisionpain"]["subject_from"] == "SampleID"
    # Who says whose samples they are isn't warned.
    assert read_npx(path, subject=lambda name: name[0]).obs["subject_id"].tolist()[:2] == ["a"] * 2


def test_what_the_caller_says_comes_first(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(SUBJECTS.format(name="Subject"))
    npx = read_npx(path, subject=lambda name: name[0])
    assert npx.obs["subject_id"].tolist() == ["a", "a", "b", None]
    assert npx.uns["precisionpain"]["subject_from"] == "subject="
    # What the file says is kept beside it, and a file that is written says who it was.
    assert npx.obs["Subject"].tolist() == ["101", "101", "007", None]
    own = read_npx(path, subject=lambda name: name)
    again = read_npx(write_npx(own, tmp_path / "again.csv"))
    assert again.obs["subject_id"].tolist() == ["a1", "a2", "b1", None]
    assert again.obs["Subject"].tolist() == ["101", "101", "007", None]


def test_a_cohort_takes_it(path, samples, tmp_path):
    """Samples of people join by person, controls stay in the assay, and files keep it all."""
    npx = read_npx(path, samples=samples)
    people = pd.DataFrame(index=pd.Index(["TN01", "TN02"], name="subject_id"))
    cohort = Cohort(people).with_assay("csf", npx)
    assert cohort.assays["csf"].shape == (5, 1)
    npx.write_h5ad(tmp_path / "npx.h5ad")
