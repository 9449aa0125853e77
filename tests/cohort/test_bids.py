"""BIDS trees: names, inheritance, what is there and what isn't, and the people."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.cohort._bids.entities import ENTITIES, parse_name, stem_of
from precisionpain.cohort.bids import read_bids, scan_bids, sidecar
from precisionpain.cohort.storage import load_cohort
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    MissingModalityError,
)

# --- small trees -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Content of a tiny .nii.gz."""
    path = tmp_path_factory.mktemp("volume") / "v.nii.gz"
    nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)).to_filename(path)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "study", {"dataset_description.json": {"Name": "Study"}})


def write(root: Path, files: dict[str, Any]) -> Path:
    """Write files: bytes as they are, text as it is, anything else as JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes | str):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def pick(scan: Any, step: str, text: str) -> dict[str, Any]:
    """Return the one entry of the provenance with that step and text."""
    entries = scan.provenance
    entries = entries.to_dict("records") if isinstance(entries, pd.DataFrame) else entries
    found = [e for e in entries if e["step"] == step and text in e["detail"]]
    assert len(found) == 1, entries
    return found[0]


def keys(images: pd.DataFrame) -> list[tuple[Any, ...]]:
    frame = images[["subject_id", "visit", "contrast", "run"]]
    return [
        (s, v, c, None if pd.isna(r) else int(r)) for s, v, c, r in frame.itertuples(index=False)
    ]


# --- names -------------------------------------------------------------------------------


def test_a_name_is_taken_apart() -> None:
    name = parse_name("sub-01_ses-V01_task-rest_acq-mb4_dir-AP_run-02_echo-1_part-mag_bold.nii.gz")
    assert name.entities == {
        "sub": "01",
        "ses": "V01",
        "task": "rest",
        "acq": "mb4",
        "dir": "AP",
        "run": "02",
        "echo": "1",
        "part": "mag",
    }
    assert (name.suffix, name.extension) == ("bold", ".nii.gz")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sub-01_run-2_acq-a_T1w.nii.gz", "'acq' should stand before 'run'"),
        ("ses-1_sub-01_T1w.nii.gz", "'sub' should stand before 'ses'"),
        ("sub-01_acq-a_acq-b_T1w.nii.gz", "'acq' stands twice"),
        ("sub-01_colour-red_T1w.nii.gz", "'colour-red' is no entity"),
        ("sub-01_old_T1w.nii.gz", "'old' is no entity"),
        ("sub-01_acq-high-res_T1w.nii.gz", "'high-res' is no value"),
        ("sub-01_acq-_T1w.nii.gz", "'' is no value"),
        ("sub-01_run-one_T1w.nii.gz", "'one' is no value that 'run'"),
        ("sub-01_hemi-left_T1w.nii.gz", "'left' is no value that 'hemi'"),
        ("sub-01_part-magnitude_T1w.nii.gz", "'magnitude' is no value"),
        ("sub-ä_T1w.nii.gz", "'ä' is no value"),
        ("sub-01_T1w copy.nii.gz", "doesn't end with a suffix"),
        ("sub-01_run-1.nii.gz", "doesn't end with a suffix"),
        ("sub-01_.nii.gz", "doesn't end with a suffix"),
    ],
)
def test_a_name_that_breaks_the_rules(name: str, problem: str) -> None:
    with pytest.raises(FormatError, match=re.escape(problem)):
        parse_name(name)


# The order as the specification's appendix on entities lists it.
ORDER = [
    *("sub", "ses", "sample", "task", "tracksys", "acq", "ce", "trc", "stain", "rec", "dir"),
    *("run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split"),
    *("recording", "chunk", "seg", "res", "den", "label", "desc"),
]
FIXED = {"mt": ["on", "off"], "part": ["mag", "phase", "real", "imag"], "hemi": ["L", "R"]}
INDICES = {"run", "echo", "flip", "inv", "split", "chunk"}


@st.composite
def entity_lists(draw: st.DrawFn) -> list[tuple[str, str]]:
    chosen = draw(st.lists(st.sampled_from(ORDER), unique=True, max_size=8))
    label = st.from_regex(r"[0-9A-Za-z]{1,8}", fullmatch=True)
    number = st.from_regex(r"[0-9]{1,3}", fullmatch=True)
    return [
        (
            key,
            draw(
                st.sampled_from(FIXED[key]) if key in FIXED else number if key in INDICES else label
            ),
        )
        for key in chosen
    ]


@given(entity_lists(), st.sampled_from(["T1w", "dwi", "bold", "dseg"]))
def test_names_parse_in_the_order_of_the_specification_only(
    pairs: list[tuple[str, str]], suffix: str
) -> None:
    in_order = sorted(pairs, key=lambda pair: ORDER.index(pair[0]))
    for given_pairs in (in_order, pairs):
        stem = "_".join([*(f"{key}-{value}" for key, value in given_pairs), suffix])
        if given_pairs == in_order:
            parsed = parse_name(f"{stem}.nii.gz")
            assert list(parsed.entities.items()) == in_order
            assert (parsed.suffix, stem_of(parsed)) == (suffix, stem)
        else:
            with pytest.raises(FormatError, match="should stand before"):
                parse_name(f"{stem}.nii.gz")


def test_all_entities_of_the_specification_are_known() -> None:
    assert [key for key in ENTITIES if key in ORDER] == ORDER


# --- images ------------------------------------------------------------------------------


def test_sessions_and_runs_become_visits_and_runs(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-01/ses-V01/anat/sub-01_ses-V01_run-01_T1w.nii.gz": volume,
            "sub-01/ses-V01/anat/sub-01_ses-V01_run-2_T1w.nii.gz": volume,
            "sub-01/ses-V02/func/sub-01_ses-V02_task-rest_echo-1_bold.nii.gz": volume,
            "sub-02/anat/sub-02_T2w.nii": gzip.decompress(volume),
        },
    )
    scan = scan_bids(root)
    assert scan.subjects == ["sub-01", "sub-02"]
    assert keys(scan.images) == [
        ("sub-01", "V01", "T1w", 1),
        ("sub-01", "V01", "T1w", 2),
        ("sub-01", "V02", "bold", None),
        ("sub-02", "baseline", "T2w", None),
    ]
    assert scan.visits[["subject_id", "visit"]].values.tolist() == [
        ["sub-01", "V01"],
        ["sub-01", "V02"],
        ["sub-02", "baseline"],
    ]
    assert scan.visits["day"].isna().all()
    images = scan.images
    assert images["present"].all()
    assert images["run"].dtype == "Int64"
    assert images["bytes"].tolist()[:3] == [len(volume)] * 3
    assert all(os.path.isabs(path) and os.path.isfile(path) for path in images["path"])
    # Only the entities that occur have a column.
    assert {"task", "echo"} <= set(images)
    assert not {"acq", "dir", "space", "derivative", "sub", "ses"} & set(images)
    assert images.loc[2, "task"] == "rest"
    assert images.loc[0, "task"] is None
    assert images["datatype"].tolist() == ["anat", "anat", "func", "anat"]


def test_further_entities_are_columns(root: Path, volume: bytes) -> None:
    name = "sub-01_task-pain_acq-mb_ce-gado_rec-norm_dir-PA_run-3_inv-2_bold"
    write(root, {f"sub-01/func/{name}.nii.gz": volume})
    row = scan_bids(root).images.iloc[0]
    found = {key: row[key] for key in ("task", "acq", "ce", "rec", "dir", "inv")}
    assert found == {
        "task": "pain",
        "acq": "mb",
        "ce": "gado",
        "rec": "norm",
        "dir": "PA",
        "inv": "2",
    }
    assert row["run"] == 3


def test_absent_images_are_listed_with_the_reason(root: Path, volume: bytes) -> None:
    anat = "sub-01/anat/sub-01"
    key = "MD5E-s3501333--0123456789abcdef0123456789abcdef.nii.gz"
    write(
        root,
        {
            f"{anat}_T1w.nii.gz": volume,
            f"{anat}_T2w.nii.gz": b"",
            f"{anat}_PDw.nii.gz": f"/annex/objects/{key}\n",
            f"{anat}_FLAIR.json": {},
        },
    )
    (root / f"{anat}_angio.nii.gz").symlink_to(f"../../.git/annex/objects/0X/p7/{key}/{key}")
    (root / f"{anat}_T2star.nii.gz").symlink_to("/nowhere/else.nii.gz")
    scan = scan_bids(root)
    images = scan.images.set_index("contrast")
    assert images["present"].to_dict() == {
        "FLAIR": False,
        "PDw": False,
        "T1w": True,
        "T2star": False,
        "T2w": False,
        "angio": False,
    }
    assert images["reason"].to_dict() == {
        "FLAIR": "sidecar without image",
        "PDw": "git-annex pointer",
        "T1w": None,
        "T2star": "broken link",
        "T2w": "empty file",
        "angio": "git-annex pointer",
    }
    assert images.loc["FLAIR", "path"] == str(root / f"{anat}_FLAIR.nii.gz")
    assert images.loc["FLAIR", "sidecar"] == str(root / f"{anat}_FLAIR.json")
    assert pick(scan, "scan", "can't be read, listed")["n"] == 4
    assert pick(scan, "scan", "only a sidecar is there")["n"] == 1


def test_a_link_to_an_image_is_an_image(root: Path, volume: bytes, tmp_path: Path) -> None:
    (tmp_path / "store.nii.gz").write_bytes(volume)
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").symlink_to(tmp_path / "store.nii.gz")
    images = scan_bids(root).images
    assert images["present"].tolist() == [True]
    assert images["bytes"].tolist() == [len(volume)]


def test_shared_sidecars_tell_of_no_image(root: Path, volume: bytes) -> None:
    func = "sub-01/func/sub-01_task-rest"
    write(
        root,
        {
            f"{func}_bold.json": {"RepetitionTime": 2.0},  # of both runs
            f"{func}_run-1_bold.nii.gz": volume,
            f"{func}_run-2_bold.json": {},  # of an image that is not there
            f"{func}_run-1_events.json": {},
            f"{func}_run-1_events.tsv": "onset\tduration\n",
            f"{func}_run-1_physio.json": {},
            "sub-01/sub-01_T1w.json": {},
            "T2w.json": {},
        },
    )
    scan = scan_bids(root)
    assert keys(scan.images) == [
        ("sub-01", "baseline", "bold", 1),
        ("sub-01", "baseline", "bold", 2),
    ]
    assert scan.images["present"].tolist() == [True, False]
    assert pick(scan, "scan", "files of other types")["n"] == 1


def test_gradients_alone_tell_of_an_image(root: Path) -> None:
    write(root, {"sub-01/dwi/sub-01_dwi.bval": "0 1000", "sub-01/dwi/sub-01_dwi.bvec": "0 1"})
    images = scan_bids(root).images
    assert images["reason"].tolist() == ["sidecar without image"]
    assert images["bval"].tolist() == [str(root / "sub-01/dwi/sub-01_dwi.bval")]


def test_names_that_break_the_rules_are_listed(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-01/anat/sub-01_T1w.nii.gz": volume,
            "sub-01/anat/sub-01_run-1_acq-a_T1w.nii.gz": volume,
            "sub-01/anat/sub-02_T1w.nii.gz": volume,
            "sub-01/anat/sub-01_ses-1_T1w.nii.gz": volume,
            "sub-01/anat/T1w.nii.gz": volume,
            "sub-01/anat/sub-01_T1w.v2.nii.gz": volume,
            "sub-01/anat/sub-01_T1w.NII.GZ": volume,
            "sub-01/anat/sub-02_T1w.json": {},
            "sub-01/sub-01_T1w.nii.gz": volume,
            "sub-01/extra/sub-01_T1w.nii.gz": volume,
            "sub-02_old/anat/sub-02_T1w.nii.gz": volume,
            "sub-03/ses-a_b/anat/sub-03_T1w.nii.gz": volume,
            "sub-04/ses-1/ses-2/sub-04_T1w.nii.gz": volume,
        },
    )
    scan = scan_bids(root)
    assert keys(scan.images) == [("sub-01", "baseline", "T1w", None)]
    entry = pick(scan, "scan", "files whose names break the BIDS rules")
    assert entry["n"] == 7
    assert "sub-01/anat/sub-02_T1w.nii.gz (the name says sub-02, its folder" in entry["detail"]
    assert "'acq' should stand before 'run'" in entry["detail"]
    assert pick(scan, "scan", "outside of a data type folder")["n"] == 1
    assert pick(scan, "scan", "session folders whose names")["n"] == 3
    assert pick(scan, "scan", "folders that BIDS doesn't know")["n"] == 1
    assert len(scan.concerns) == 1
    assert scan.concerns[0].startswith("11 files or folders were left out")
    with pytest.warns(DataWarning, match="11 files or folders were left out"):
        read_bids(root)


def test_hidden_files_and_other_data_types_are_counted(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-01/anat/sub-01_T1w.nii.gz": volume,
            "sub-01/anat/._sub-01_T1w.nii.gz": b"finder",
            "sub-01/anat/.DS_Store": b"finder",
            "sub-01/anat/._sub-01_T2w.json": b"finder",
            "sub-01/.heudiconv/info.txt": "x",
            "sub-01/meg/sub-01_task-rest_meg.fif": b"x",
            "sub-01/eeg/sub-01_task-rest_eeg.edf": b"x",
            "sub-01/eeg/sub-01_task-rest_eeg.json": {},
            "sub-01/func/sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii": b"x",
            ".git/config": "x",
        },
    )
    scan = scan_bids(root)
    assert keys(scan.images) == [("sub-01", "baseline", "T1w", None)]
    assert pick(scan, "scan", "hidden")["n"] == 2
    assert pick(scan, "scan", "other data types")["n"] == 3
    assert pick(scan, "scan", "files of other types")["n"] == 1
    assert scan.concerns == []


def test_both_extensions_of_one_image(root: Path, volume: bytes) -> None:
    plain = gzip.decompress(volume)
    write(
        root,
        {"sub-01/anat/sub-01_T1w.nii": plain, "sub-01/anat/sub-01_T1w.nii.gz": volume},
    )
    scan = scan_bids(root)
    assert len(scan.images) == 2
    assert pick(scan, "scan", "both as .nii and as .nii.gz")["n"] == 1


def test_an_empty_tree_of_folders(root: Path) -> None:
    (root / "sub-01").mkdir()
    (root / "sub-02" / "ses-1").mkdir(parents=True)
    scan = scan_bids(root)
    assert scan.subjects == ["sub-01", "sub-02"]
    assert scan.visits[["subject_id", "visit"]].values.tolist() == [["sub-02", "1"]]
    assert len(scan.images) == 0
    assert {"subject_id", "visit", "contrast", "run", "path", "present"} <= set(scan.images)
    cohort = read_bids(root)
    assert cohort.subject_ids.tolist() == ["sub-01", "sub-02"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ("# nothing\n\n", {"01", "02", "02fu"}),
        ("sub-02/", {"01", "02fu"}),
        ("sub-02*\n", {"01"}),
        ("*_T1w.nii.gz\n!sub-01_T1w.nii.gz\n", {"01"}),
        ("/sub-01/anat\n", {"02", "02fu"}),
        ("/anat\n", {"01", "02", "02fu"}),
        ("**/sub-02_T1w.nii.gz\n", {"01", "02fu"}),
        ("sub-*/anat/*fu_*\n", {"01", "02"}),
        ("participants.tsv\nsub-0[1]", {"02", "02fu"}),
    ],
)
def test_bidsignore(root: Path, volume: bytes, patterns: str, left: set[str]) -> None:
    write(root, {f"sub-{n}/anat/sub-{n}_T1w.nii.gz": volume for n in ("01", "02", "02fu")})
    write(root, {".bidsignore": patterns})
    scan = scan_bids(root, followup_suffix=None)
    assert {i.removeprefix("sub-") for i in scan.images["subject_id"]} == left
    assert scan.subjects == ["sub-01", "sub-02", "sub-02fu"]  # the people stay
    if len(left) < 3:
        assert pick(scan, "scan", "left out by .bidsignore")["n"] == 3 - len(left)


def test_bidsignore_also_hides_expected_images(root: Path) -> None:
    write(root, {"sub-01/anat/sub-01_T1w.json": {}, ".bidsignore": "*_T1w.nii.gz"})
    assert len(scan_bids(root).images) == 0


# --- follow-ups --------------------------------------------------------------------------


def test_followup_folders_are_visits_of_the_same_person(root: Path, volume: bytes) -> None:
    names = ("sub-009", "sub-009fu", "sub-010fu", "sub-fu")
    write(root, {f"{n}/anat/{n}_T1w.nii.gz": volume for n in names})
    scan = scan_bids(root)
    assert scan.subjects == ["sub-009", "sub-010fu", "sub-fu"]
    assert keys(scan.images) == [
        ("sub-009", "baseline", "T1w", None),
        ("sub-009", "followup", "T1w", None),
        ("sub-010fu", "baseline", "T1w", None),
        ("sub-fu", "baseline", "T1w", None),
    ]
    assert scan.followups == {"sub-009fu": "sub-009"}
    assert pick(scan, "scan", "the visit 'followup'")["n"] == 1
    orphan = pick(scan, "scan", "follow-up of nobody here")
    assert orphan["n"] == 1
    assert "sub-010fu" in orphan["detail"]


def test_a_followup_of_a_person_known_only_from_the_table(root: Path, volume: bytes) -> None:
    write(root, {"sub-010fu/anat/sub-010fu_T1w.nii.gz": volume})
    scan = scan_bids(root, known=["sub-010"])
    assert keys(scan.images) == [("sub-010", "followup", "T1w", None)]


def test_followups_can_stay_listedof_their_own(root: Path, volume: bytes) -> None:
    write(root, {f"{n}/anat/{n}_T1w.nii.gz": volume for n in ("sub-1", "sub-1fu", "sub-1x")})
    assert scan_bids(root, followup_suffix=None).subjects == ["sub-1", "sub-1fu", "sub-1x"]
    assert scan_bids(root, followup_suffix="x").followups == {"sub-1x": "sub-1"}


def test_sessions_of_a_followup_keep_their_names(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz": volume,
            "sub-1fu/ses-a/anat/sub-1fu_ses-a_T1w.nii.gz": volume,
            "sub-1fu/sub-1fu_sessions.tsv": "session_id\tpain\nses-a\t3\n",
        },
    )
    scan = scan_bids(root)
    assert scan.images["visit"].tolist() == ["a", "followup-a"]
    assert scan.measurements["sessions"][["visit", "pain"]].values.tolist() == [["followup-a", 3]]


def test_two_folders_for_one_visit(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-1/ses-followup/anat/sub-1_ses-followup_T1w.nii.gz": volume,
            "sub-1fu/anat/sub-1fu_T1w.nii.gz": volume,
        },
    )
    with pytest.raises(AlignmentError, match="both hold the visit 'followup' of 'sub-1'"):
        scan_bids(root)


# --- sidecars ----------------------------------------------------------------------------


@pytest.fixture
def inherited(root: Path, volume: bytes) -> Path:
    return write(
        root,
        {
            "bold.json": {"A": "root", "B": "root", "C": "root", "D": "root", "E": "root"},
            "task-rest_bold.json": {"B": "task", "C": "task", "D": "task", "E": "task"},
            "task-pain_bold.json": {"A": "other task"},
            "T1w.json": {"A": "other suffix"},
            "sub-1/sub-1_task-rest_bold.json": {"C": "subject", "D": "subject", "E": "subject"},
            "sub-1/sub-1_task-rest_run-2_bold.json": {"A": "other run"},
            "sub-1/ses-1/sub-1_ses-1_task-rest_bold.json": {"D": "session", "E": "session"},
            "sub-1/ses-1/func/sub-1_ses-1_task-rest_run-1_bold.json": {"E": "image"},
            "sub-1/ses-1/func/sub-1_ses-1_task-rest_run-1_bold.nii.gz": volume,
            "sub-2/func/sub-2_task-rest_bold.nii.gz": volume,
        },
    )


def test_sidecars_are_inherited_and_deeper_ones_override(inherited: Path) -> None:
    image = inherited / "sub-1/ses-1/func/sub-1_ses-1_task-rest_run-1_bold.nii.gz"
    assert sidecar(image, inherited) == {
        "A": "root",
        "B": "task",
        "C": "subject",
        "D": "session",
        "E": "image",
    }
    other = inherited / "sub-2/func/sub-2_task-rest_bold.nii.gz"
    assert sidecar(other, inherited) == {
        "A": "root",
        **dict.fromkeys("BCDE", "task"),
    }
    assert sidecar(inherited / "sub-2/anat/../func/sub-2_T2w.nii.gz", inherited) == {}


def test_the_nearest_sidecar_is_in_the_table(inherited: Path) -> None:
    images = scan_bids(inherited).images
    assert [Path(p).relative_to(inherited).as_posix() for p in images["sidecar"]] == [
        "sub-1/ses-1/func/sub-1_ses-1_task-rest_run-1_bold.json",
        "task-rest_bold.json",
    ]


def test_gradients_are_inherited(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "dwi.bval": "0 1000",
            "sub-1/sub-1_dwi.bvec": "0 0 1",
            "sub-1/dwi/sub-1_run-1_dwi.nii.gz": volume,
            "sub-1/dwi/sub-1_run-2_dwi.nii.gz": volume,
            "sub-1/dwi/sub-1_run-2_dwi.bvec": "0 1 0",
            "sub-1/dwi/sub-1_sbref.nii.gz": volume,
            "sub-2/dwi/sub-2_dwi.nii.gz": volume,
        },
    )
    scan = scan_bids(root)
    images = scan.images[scan.images["contrast"] == "dwi"]
    assert images["bval"].tolist() == [str(root / "dwi.bval")] * 3
    assert images["bvec"].tolist() == [
        str(root / "sub-1/sub-1_dwi.bvec"),
        str(root / "sub-1/dwi/sub-1_run-2_dwi.bvec"),
        None,
    ]
    entry = pick(scan, "scan", "without bval or bvec")
    assert entry["n"] == 1
    assert "sub-2_dwi" in entry["detail"]


def test_a_broken_sidecar_is_flagged_and_the_image_stays(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-1/anat/sub-1_T1w.nii.gz": volume,
            "sub-1/anat/sub-1_T1w.json": '{\n"EchoTime": 0.003,\n}',
            "sub-1/anat/sub-1_T2w.nii.gz": volume,
            "sub-1/anat/sub-1_T2w.json": "[1, 2]",
        },
    )
    (root / "sub-1/anat/sub-1_PDw.json").symlink_to("../../.git/annex/objects/a/b/k/k")
    scan = scan_bids(root)
    assert keys(scan.images)[0] == ("sub-1", "baseline", "PDw", None)
    assert scan.images["present"].tolist() == [False, True, True]
    entry = pick(scan, "scan", "sidecars that can't be read")
    assert entry["n"] == 3
    assert "sub-1_T1w.json (line 3: expected JSON" in entry["detail"]
    assert "sub-1_T2w.json (line 1: expected a JSON object, found list" in entry["detail"]
    assert "sub-1_PDw.json (git-annex pointer)" in entry["detail"]
    with pytest.raises(FormatError, match=r"sub-1_T1w.json, line 3: expected JSON"):
        sidecar(root / "sub-1/anat/sub-1_T1w.nii.gz", root)


def test_sidecar_wants_an_image_below_the_root(root: Path) -> None:
    with pytest.raises(FormatError, match="doesn't lie below the root"):
        sidecar("/elsewhere/sub-1_T1w.nii.gz", root)


# --- derivatives -------------------------------------------------------------------------


@pytest.fixture
def derived(root: Path, volume: bytes) -> Path:
    space = "sub-1/anat/sub-1_space-MNI152NLin6Asym_res-2"
    return write(
        root,
        {
            "sub-1/anat/sub-1_T1w.nii.gz": volume,
            "derivatives/fmriprep/dataset_description.json": {"Name": "fMRIPrep"},
            f"derivatives/fmriprep/{space}_desc-preproc_T1w.nii.gz": volume,
            f"derivatives/fmriprep/{space}_label-GM_probseg.nii.gz": volume,
            # The age cohort of a template stands right behind its name.
            "derivatives/fmriprep/sub-1/anat/sub-1_space-MNIInfant_cohort-3_mask.nii.gz": volume,
            "derivatives/fmriprep/sub-1/anat/sub-1_desc-x_space-y_mask.nii.gz": volume,
            "derivatives/fmriprep/sub-1/anat/sub-1_from-T1w_to-MNI_mode-image_xfm.h5": b"x",
            "derivatives/fmriprep/sub-1/anat/sub-1_from-T1w_to-MNI_mode-image_xfm.json": {},
            "derivatives/fmriprep/sub-1/figures/sub-1_T1w.svg": "x",
            "derivatives/fmriprep/sub-1/func/sub-1_task-rest_desc-confounds_timeseries.json": {},
            "derivatives/nerves/sub-1/anat/sub-1_desc-trigeminal_dseg.nii.gz": volume,
            "derivatives/nerves/sub-2/anat/sub-2_desc-trigeminal_dseg.nii.gz": volume,
        },
    )


def test_derivatives_are_left_alone_by_default(derived: Path) -> None:
    scan = scan_bids(derived)
    assert keys(scan.images) == [("sub-1", "baseline", "T1w", None)]
    assert "derivative" not in scan.images
    assert scan.subjects == ["sub-1"]


def test_derivatives_are_listed_on_request(derived: Path) -> None:
    scan = scan_bids(derived, derivatives=True)
    columns = ["subject_id", "derivative", "contrast", "space", "cohort", "res", "label", "desc"]
    space = "MNI152NLin6Asym"
    assert scan.images[columns].values.tolist() == [
        ["sub-1", None, "T1w", None, None, None, None, None],
        ["sub-1", "fmriprep", "T1w", space, None, "2", None, "preproc"],
        ["sub-1", "fmriprep", "probseg", space, None, "2", "GM", None],
        ["sub-1", "fmriprep", "mask", "MNIInfant", "3", None, None, None],
        ["sub-1", "nerves", "dseg", None, None, None, None, "trigeminal"],
        ["sub-2", "nerves", "dseg", None, None, None, None, "trigeminal"],
    ]
    assert scan.subjects == ["sub-1", "sub-2"]
    assert pick(scan, "scan", "files whose names break")["n"] == 1


def test_bidsignore_concerns_the_raw_data_only(derived: Path) -> None:
    write(derived, {".bidsignore": "derivatives/\n*_T1w.nii.gz\n"})
    images = scan_bids(derived, derivatives=True).images
    assert images["derivative"].tolist() == [*["fmriprep"] * 3, "nerves", "nerves"]


def test_some_derivatives_by_name(derived: Path) -> None:
    scan = scan_bids(derived, derivatives=["nerves"])
    assert scan.images["derivative"].tolist() == [None, "nerves", "nerves"]
    with pytest.raises(MissingModalityError, match=r"no derivatives 'freesurfer'.*'fmriprep'"):
        scan_bids(derived, derivatives=["nerves", "freesurfer"])


# --- sessions.tsv and scans.tsv ----------------------------------------------------------


def test_sessions_and_scans_become_measurements(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-1/ses-a/anat/sub-1_ses-a_run-2_T1w.nii.gz": volume,
            "sub-1/sub-1_sessions.tsv": "\ufeffsubject\tsession_id\tage \tpain\tnote\n"
            "sub-1\tses-a\t6 \t3\tn/a\n1\tses-b\t7\tn/a\tcalm\n",
            "sub-1/ses-a/sub-1_ses-a_scans.tsv": "filename\tacq_time\tvisit\r\n"
            "anat/sub-1_ses-a_run-2_T1w.nii.gz\t2021-03-01T09:00:00\tfirst\r\n"
            "notes.txt\tn/a\tn/a\r\n",
            "sub-2/sub-2_sessions.tsv": "session_id\tage\nses-a\t40.5\n",
        },
    )
    scan = scan_bids(root)
    sessions = scan.measurements["sessions"]
    assert sessions.columns.tolist() == ["subject_id", "visit", "age", "pain", "note"]
    assert sessions["subject_id"].tolist() == ["sub-1", "sub-1", "sub-2"]
    assert sessions["visit"].tolist() == ["a", "b", "a"]
    assert sessions["age"].tolist() == [6.0, 7.0, 40.5]
    assert sessions["pain"].dtype == float
    assert sessions["note"].fillna("-").tolist() == ["-", "calm", "-"]
    scans = scan.measurements["scans"]
    assert scans.columns.tolist() == [
        *("subject_id", "visit", "contrast", "run", "filename", "acq_time", "visit_recorded")
    ]
    assert scans["visit"].tolist() == ["a", "a"]
    assert scans["contrast"].fillna("-").tolist() == ["T1w", "-"]
    assert scans["run"].fillna(0).tolist() == [2, 0]
    # The visits that only the table tells of are visits as well.
    assert scan.visits[["subject_id", "visit"]].values.tolist() == [
        ["sub-1", "a"],
        ["sub-1", "b"],
        ["sub-2", "a"],
    ]
    cohort = read_bids(root)
    assert cohort.measurements["sessions"]["pain"].tolist()[0] == 3.0


def test_broken_tables_are_flagged_and_the_rest_is_read(root: Path) -> None:
    write(
        root,
        {
            "sub-1/sub-1_sessions.tsv": "session_id\tage\nses-a\t6\t7\n",
            "sub-2/sub-2_sessions.tsv": b"session_id\tage\nses-a\t\xff\n",
            "sub-3/sub-3_sessions.tsv": "session\tage\nses-a\t3\n",
            "sub-4/sub-4_sessions.tsv": "",
            "sub-5/sub-5_sessions.tsv": "session_id\tage\nses-a\t5\n",
            "sub-6/ses-a/sub-6_ses-a_sessions.tsv": "session_id\tage\nses-a\t6\n",
            "sub-7/sub-7_sessions.tsv": "session_id\tage\tage\nses-a\t6\t7\n",
        },
    )
    scan = scan_bids(root)
    assert scan.measurements["sessions"]["age"].tolist() == [5.0]
    entry = pick(scan, "scan", "scans.tsv that can't be read")
    assert entry["n"] == 5
    assert "line 2 has 3 cells, the header 2" in entry["detail"]
    assert "line 2 is not UTF-8" in entry["detail"]
    assert "expected the column 'session_id'" in entry["detail"]
    assert pick(scan, "scan", "where BIDS doesn't expect")["n"] == 1
    with pytest.warns(DataWarning, match="sub-1_sessions.tsv"):
        read_bids(root)


def test_a_row_of_somebody_else_is_an_error(root: Path) -> None:
    write(root, {"sub-1/sub-1_sessions.tsv": "participant_id\tsession_id\nsub-2\tses-a\n"})
    with pytest.raises(AlignmentError, match="row belongs to 'sub-2', but the file to 'sub-1'"):
        scan_bids(root)


def test_units_that_differ_between_files_are_kept(root: Path) -> None:
    write(
        root,
        {
            "sub-1/sub-1_sessions.tsv": "session_id\tage\tpain\nses-a\t6\t1\n",
            "sub-1/sub-1_sessions.json": {"age": {"Units": "years"}},
            "sub-2/sub-2_sessions.tsv": "session_id\tage\tpain\nses-a\t23\t2\n",
            "sub-2/sub-2_sessions.json": {"age": {"Units": "months"}},
            "sessions.json": {"pain": {"Units": "NRS"}, "age": {"Units": "years"}},
        },
    )
    scan = scan_bids(root)
    sessions = scan.measurements["sessions"]
    assert sessions["age_unit"].tolist() == ["years", "months"]
    assert "pain_unit" not in sessions
    assert pick(scan, "unit", "'NRS'")["column"] == "pain"
    assert len(scan.concerns) == 1
    with pytest.warns(DataWarning, match="'age' of sessions.tsv is in 'years', 'months'"):
        read_bids(root)


def test_days_from_the_index_visit(root: Path) -> None:
    write(
        root,
        {
            "sub-1/sub-1_sessions.tsv": "session_id\tacq_time\n"
            "ses-pre\t1900-02-27T17:30:00\nses-op\t1900-03-01T08:00:00\nses-post\tsoon\n",
            "sub-1/ses-post/sub-1_ses-post_scans.tsv": "filename\tacq_time\n"
            "anat/sub-1_ses-post_T2w.nii.gz\t1900-03-12T08:00:00.25\n"
            "anat/sub-1_ses-post_T1w.nii.gz\t1900-03-11T07:00:00\n",
            "sub-2/sub-2_sessions.tsv": "session_id\tacq_time\nses-pre\t2001-01-01T00:00:00\n",
        },
    )
    assert scan_bids(root).visits["day"].isna().all()
    scan = scan_bids(root, index_visit="op")
    days = scan.visits.set_index(["subject_id", "visit"])["day"]
    # 1900 was no leap year: 27 February to 1 March are two days.
    assert days["sub-1"].to_dict() == {"pre": -2.0, "op": 0.0, "post": 10.0}
    assert days["sub-2"].isna().all()
    assert pick(scan, "visit days", "days between the dates")["n"] == 3
    assert pick(scan, "visit days", "without a day")["n"] == 1
    assert pick(scan, "visit days", "'soon'")["n"] == 1
    with pytest.raises(MissingModalityError, match=r"nobody has an acq_time .*'surgery'"):
        scan_bids(root, index_visit="surgery")
    cohort = read_bids(root, index_visit="op")
    assert cohort.visits["day"].notna().sum() == 3


# --- people ------------------------------------------------------------------------------


def people(root: Path, table: str, folders: tuple[str, ...] = ("sub-01", "sub-02")) -> Path:
    for name in folders:
        write(root, {f"{name}/anat/{name}_T1w.json": {}})
    return write(root, {"participants.tsv": table})


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("prefix", ["", "sub-"])
def test_ids_with_and_without_the_prefix(root: Path, mark: str, prefix: str) -> None:
    people(root, f"{mark}participant_id\tage\n{prefix}01\t61\n{prefix}02\tn/a\n")
    cohort = read_bids(root)
    assert cohort.subjects.index.tolist() == ["sub-01", "sub-02"]
    assert cohort.subjects["age"].fillna(-1).tolist() == [61, -1]
    added = cohort.provenance["step"].eq("prefix added").any()
    assert added == (prefix == "")


@pytest.mark.parametrize("ids", [("1", "2"), ("sub-001", "sub-002"), ("SUB-01", "sub-02")])
def test_ids_that_only_resemble_the_folders(root: Path, ids: tuple[str, str]) -> None:
    people(root, f"participant_id\tage\n{ids[0]}\t61\n{ids[1]}\t48\n")
    with pytest.raises(AlignmentError, match="equals 'sub-01' up to"):
        read_bids(root)


def test_one_id_that_resembles_a_folder_of_its_own_person(root: Path) -> None:
    # Patients sub-010 and controls sub-10 are different people, as in real studies.
    people(root, "participant_id\tage\nsub-010\t61\n", ("sub-010", "sub-10"))
    with pytest.warns(DataWarning, match="1 folders belong to people .*'sub-10'"):
        cohort = read_bids(root)
    assert cohort.subjects["age"].fillna(-1).to_dict() == {"sub-010": 61, "sub-10": -1}


def test_listedof_one_side_only_are_kept(root: Path) -> None:
    people(root, "participant_id\tage\nsub-02\t48\nsub-03\t50\n")
    with pytest.warns(DataWarning) as caught:
        cohort = read_bids(root)
    texts = [str(w.message) for w in caught]
    assert any("1 people of participants.tsv have no folder" in t and "sub-03" in t for t in texts)
    assert any("1 folders belong to people" in t and "sub-01" in t for t in texts)
    assert cohort.subjects["age"].fillna(-1).to_dict() == {"sub-02": 48, "sub-03": 50, "sub-01": -1}
    assert set(cohort.images["subject_id"]) == {"sub-01", "sub-02"}
    steps = cohort.provenance.set_index("step")["n"]
    assert steps["people without images"] == 1
    assert steps["people without values"] == 1


def test_a_table_of_other_listedis_an_error(root: Path) -> None:
    people(root, "participant_id\tage\nsub-A\t48\nsub-B\t50\n")
    with pytest.raises(AlignmentError, match=r"none of the 2 ids of participants.tsv has a folder"):
        read_bids(root)


def test_a_person_twice(root: Path) -> None:
    people(root, "participant_id\tage\nsub-01\t48\n01\t50\n")
    with pytest.raises(AlignmentError, match="occurs more than once: 'sub-01'"):
        read_bids(root)


def test_no_table_of_people(root: Path, volume: bytes) -> None:
    write(root, {"sub-01/anat/sub-01_T1w.nii.gz": volume})
    cohort = read_bids(root)
    assert cohort.subject_ids.tolist() == ["sub-01"]
    assert cohort.subjects.shape == (1, 0)
    assert cohort.images["present"].tolist() == [True]


def test_a_table_without_folders(root: Path) -> None:
    people(root, "participant_id\tage\nsub-01\t48\n", ())
    with pytest.warns(DataWarning, match="1 people of participants.tsv have no folder"):
        cohort = read_bids(root)
    assert cohort.subjects["age"].tolist() == [48]
    assert len(cohort.images) == 0


def test_rows_of_followups_become_measurements(root: Path) -> None:
    people(
        root,
        "participant_id\tage\tpain\nsub-01\t61\t8\nsub-01fu\t62\t1\nsub-02\t48\t7\n",
        ("sub-01", "sub-01fu", "sub-02"),
    )
    cohort = read_bids(root)
    assert cohort.subjects["pain"].to_dict() == {"sub-01": 8, "sub-02": 7}
    later = cohort.measurements["participants"]
    assert later[["subject_id", "visit", "age", "pain"]].values.tolist() == [
        ["sub-01", "followup", 62, 1]
    ]
    assert cohort.provenance["step"].eq("rows moved").sum() == 1


def test_another_table_of_people(root: Path, tmp_path: Path) -> None:
    people(root, "participant_id\tage\nsub-01\t1\nsub-02\t2\n")
    write(tmp_path, {"clinic.csv": "id;Alter\n01;61\n02;48\n"})
    columns = {"age": {"source": "Alter", "kind": "number", "unit": "years"}}
    cohort = read_bids(root, participants=tmp_path / "clinic.csv", columns=columns)
    assert cohort.subjects["age"].tolist() == [61.0, 48.0]


@pytest.mark.parametrize(
    ("header", "cells", "levels", "expected"),
    [
        ("sex", ("F", "M"), None, ["female", "male"]),
        ("Sex", ("f", "m"), None, ["female", "male"]),
        ("gender", ("Female", "male"), None, ["female", "male"]),
        ("sex", ("F", "O"), None, ["female", "O"]),
        ("sex", ("0", "1"), {"0": "female", "1": "male"}, ["female", "male"]),
        ("sex", ("1", "2"), {"1": "Man", "2": "Woman"}, ["male", "female"]),
        ("sex", ("1", "2"), {"1": {"Description": "Male"}, "2": {"Description": "Female"}},
         ["male", "female"]),
        ("sex", ("0", "1"), None, [0, 1]),
        ("sex", ("0", "1"), ["0", "1"], [0, 1]),
    ],
)  # fmt: skip
def test_sex(
    root: Path, header: str, cells: tuple[str, str], levels: Any, expected: list[Any]
) -> None:
    people(root, f"participant_id\t{header}\nsub-01\t{cells[0]}\nsub-02\t{cells[1]}\n")
    if levels is not None:
        write(root, {"participants.json": {header: {"Levels": levels}}})
    cohort = read_bids(root)
    assert cohort.subjects["sex"].tolist() == expected
    if expected[0] == 0:
        assert cohort.provenance["step"].eq("sex not understood").sum() == 1
    else:
        assert (cohort.columns["sex"].source or "sex") == header
        assert cohort.columns["sex"].kind == "category"


def test_two_columns_for_the_sex_leave_the_second_alone(root: Path) -> None:
    people(root, "participant_id\tsex\tgender\nsub-01\tF\tM\nsub-02\tM\tM\n")
    subjects = read_bids(root).subjects
    assert subjects["sex"].tolist() == ["female", "male"]
    assert subjects["gender"].tolist() == ["M", "M"]


@pytest.mark.parametrize(
    ("unit", "expected"), [(None, [24, 60]), ("years", [24, 60]), ("Months", [2, 5])]
)
def test_age_is_in_years(root: Path, unit: str | None, expected: list[float]) -> None:
    people(root, "participant_id\tAge\nsub-01\t24\nsub-02\t60\n")
    if unit:
        write(root, {"participants.json": {"Age": {"Units": unit}}})
    cohort = read_bids(root)
    np.testing.assert_allclose(cohort.subjects["age"].astype(float), expected)
    assert cohort.columns["age"].unit == "years"


def test_an_age_that_is_none(root: Path) -> None:
    people(root, "participant_id\tage\nsub-01\t24\nsub-02\t30\n")
    write(root, {"participants.json": {"age": {"Units": "gestational_weeks"}}})
    cohort = read_bids(root)
    assert "age" not in cohort.subjects
    assert cohort.subjects["age_recorded"].tolist() == [24, 30]
    assert cohort.columns["age_recorded"].unit == "gestational_weeks"
    assert cohort.provenance["step"].eq("age not understood").sum() == 1


@pytest.mark.parametrize(
    ("header", "cells", "levels", "name"),
    [
        ("group", ("FM", "HC"), None, "diagnosis"),
        ("Group", ("TN", "control"), None, "diagnosis"),
        ("group", ("1", "2"), {"1": "migraine", "2": "healthy people"}, "diagnosis"),
        ("diagnosis", ("TN", "SUNA"), None, "diagnosis"),
        ("group", ("SMH", "MBSR+"), None, "group"),  # the arms of a trial
    ],
)
def test_diagnosis(root: Path, header: str, cells: tuple[str, str], levels: Any, name: str) -> None:
    people(root, f"participant_id\t{header}\nsub-01\t{cells[0]}\nsub-02\t{cells[1]}\n")
    if levels:
        write(root, {"participants.json": {header: {"Levels": levels}}})
    subjects = read_bids(root).subjects
    assert subjects.columns.tolist() == [name]
    assert subjects[name].astype(str).tolist() == list(cells)


def test_participants_json_describes_the_columns(root: Path) -> None:
    people(
        root, "participant_id\tSurgery\tPain (0-10)\tBMI\nsub-01\tMVD\t8\t30\nsub-02\tPI\t7\t25\n"
    )
    write(
        root,
        {
            "participants.json": {
                "participant_id": {"Description": "id"},
                "Surgery": {
                    "Description": "Type of surgery.",
                    "Levels": {"MVD": "Microvascular decompression", "PI": {"Description": "PRF"}},
                },
                "pain": {"Description": "Pain now", "Units": "NRS"},
                "nowhere": {"Description": "lost"},
                "BMI": "not a mapping",
            }
        },
    )
    cohort = read_bids(root)
    columns = cohort.columns
    # Values stay as the file has them; the levels document them.
    assert cohort.subjects["Surgery"].tolist() == ["MVD", "PI"]
    assert columns["Surgery"].description == (
        "Type of surgery. MVD = Microvascular decompression; PI = PRF"
    )
    assert columns["Surgery"].levels is None
    assert columns["Pain (0-10)"].description == "Pain now"
    assert columns["Pain (0-10)"].unit == "NRS"
    assert columns["BMI"].description == ""
    assert pick(cohort, "columns described", "similar name")["n"] == 1
    unused = pick(cohort, "descriptions unused", "lacks")
    assert unused["n"] == 2
    assert "nowhere" in unused["detail"]


def test_a_description_that_was_not_fetched(root: Path) -> None:
    people(root, "participant_id\tage\nsub-01\t61\nsub-02\t48\n")
    (root / "participants.json").symlink_to(".git/annex/objects/a/b/k/k")
    entry = pick(read_bids(root), "descriptions unused", "participants.json can't be read")
    assert "git-annex pointer" in entry["detail"]


def test_the_users_column_map_wins(root: Path) -> None:
    people(root, "participant_id\tsex\tpain\nsub-01\t1\t8\nsub-02\t2\t7\n")
    write(root, {"participants.json": {"pain": {"Description": "from JSON", "Units": "NRS"}}})
    columns = {
        "sex": {"source": "sex", "kind": "category", "levels": {"1": "female", "2": "male"}},
        "pain_after": {"source": "pain", "role": "outcome", "description": "mine"},
    }
    cohort = read_bids(root, columns=columns, landmark=3.0, name="mine")
    assert cohort.subjects["sex"].tolist() == ["female", "male"]
    assert cohort.columns["pain_after"].description == "mine"
    assert cohort.columns["pain_after"].unit == "NRS"
    assert cohort.predictors == ["sex"]
    assert (cohort.landmark, cohort.name) == (3.0, "mine")


# --- the dataset -------------------------------------------------------------------------


def test_the_description_becomes_meta(root: Path) -> None:
    said = {
        "Name": "TN study",
        "BIDSVersion": "1.8.0",
        "License": "CC0",
        "DatasetDOI": "doi:10.0/x",
        "Authors": ["A", "B"],
        "DatasetType": "raw",
        "Funding": ["nobody"],
    }
    write(root, {"sub-1/anat/sub-1_T1w.json": {}, "dataset_description.json": said})
    cohort = read_bids(root)
    fields = {key: value for key, value in said.items() if key != "Funding"}
    assert {key: cohort.meta[key] for key in fields} == fields
    assert (cohort.meta["licence"], cohort.meta["source"]) == ("CC0", "doi:10.0/x")
    assert cohort.name == "TN study"


def test_no_description_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"sub-1/anat/sub-1_T1w.json": {}})
    with pytest.warns(DataWarning, match="no dataset_description.json"):
        cohort = read_bids(tmp_path)
    assert cohort.meta == {}
    assert cohort.name == tmp_path.name


@pytest.mark.parametrize("name", ["dataset_description.json", "participants.json"])
def test_a_broken_description_is_an_error_with_its_line(root: Path, name: str) -> None:
    people(root, "participant_id\tage\nsub-01\t61\nsub-02\t48\n")
    write(root, {name: '{\n"Name": "x"\n"License": "CC0"}'})
    with pytest.raises(FormatError, match=rf"{name}, line 3: expected JSON"):
        read_bids(root)


def test_no_bids_dataset(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"neither folders sub-… nor participants.tsv"):
        read_bids(tmp_path)
    with pytest.raises(FormatError, match="found no such folder"):
        read_bids(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(FormatError, match="found a file"):
        read_bids(tmp_path / "file")


def test_a_folder_without_permission(volume: bytes) -> None:
    script = textwrap.dedent(
        """
        import json, os, tempfile
        from precisionpain.cohort.bids import scan_bids
        from precisionpain.errors import StorageError
        root = tempfile.mkdtemp()
        closed = os.path.join(root, "sub-02", "anat")
        for name in ("sub-01", "sub-02"):
            os.makedirs(os.path.join(root, name, "anat"))
        scan_bids(root)
        os.chmod(root, 0o755)
        os.chmod(closed, 0)
        if os.getuid() == 0:  # the superuser may read everything
            os.seteuid(65534)
        try:
            scan_bids(root)
        except StorageError as error:
            print(error.where == closed, error)
        os.seteuid(os.getuid())
        for path in (closed, "sub-02", "sub-01/anat", "sub-01", ""):
            os.rmdir(os.path.join(root, path))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True ")
    assert "the folder can't be read (Permission denied)" in done.stdout


def test_what_was_read_survives_storage(inherited: Path, tmp_path: Path) -> None:
    folders = ("sub-1", "sub-2", "sub-2fu")
    people(inherited, "participant_id\tage\tsex\nsub-1\t61\tF\nsub-2\t48\tM\n", folders)
    cohort = read_bids(inherited)
    again = load_cohort(cohort.save(tmp_path / "saved"))
    columns = ["subject_id", "visit", "contrast", "run", "path", "present", "reason", "task"]
    pd.testing.assert_frame_equal(again.images[columns], cohort.images[columns])
    assert again.subjects["sex"].tolist() == ["female", "male"]
    assert again.columns == cohort.columns
    assert again.provenance["detail"].tolist() == cohort.provenance["detail"].tolist()


def test_validation_marks_damaged_images(root: Path, volume: bytes) -> None:
    write(
        root,
        {
            "sub-1/anat/sub-1_T1w.nii.gz": volume,
            "sub-2/anat/sub-2_T1w.nii.gz": volume[:-4],
            "sub-3/anat/sub-3_T1w.json": {},
        },
    )
    assert read_bids(root).images["present"].tolist() == [True, True, False]
    with pytest.warns(DataWarning, match=r"1 images are damaged: .*sub-2_T1w.nii.gz"):
        cohort = read_bids(root, validate_images=True)
    assert cohort.images["present"].tolist() == [True, False, False]
    assert "middle of the compressed data" in cohort.images["reason"].tolist()[1]
    entries = cohort.provenance[cohort.provenance["step"] == "images opened"]
    assert entries["n"].tolist() == [2, 1]


# --- real trees --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_tree(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the tree of ds005713: all but the images."""
    folder = tmp_path_factory.mktemp("ds005713")
    archive = shared_data / "tn_ds005713" / "ds005713_bids_tree_without_images.tar.gz"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def test_the_large_tree_is_listed_completely_and_fast(large_tree: Path) -> None:
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        cohort = read_bids(large_tree)
    seconds = time.process_time() - started
    # An independent count: every JSON below a sub- folder stands for one image here.
    sidecars = sorted(large_tree.glob("sub-*/*/*.json"))
    images = cohort.images
    assert len(images) == len(sidecars) == 1745
    assert set(images["sidecar"]) == {str(path) for path in sidecars}
    assert set(images["path"]) == {f"{str(path).removesuffix('.json')}.nii.gz" for path in sidecars}
    assert (images["reason"] == "sidecar without image").all()
    folders = [path.name for path in large_tree.glob("sub-*")]
    later = {name for name in folders if name.endswith("fu")}
    assert (len(folders), len(later)) == (240, 65)
    assert set(cohort.subject_ids) == set(folders) - later
    assert cohort.visits["visit"].value_counts().to_dict() == {"baseline": 175, "followup": 65}
    runs = images[images["contrast"] == "dwi"]["run"].value_counts().to_dict()
    assert runs == {1: 234, 2: 234, 3: 234, 4: 234, 5: 1}
    gradients = images[images["contrast"] == "dwi"][["bval", "bvec"]]
    assert gradients.map(os.path.isfile).all(axis=None)
    assert seconds < 2.0


def test_the_table_of_the_large_tree(large_tree: Path) -> None:
    with pytest.warns(DataWarning, match="124 folders belong to people"):
        cohort = read_bids(large_tree)
    subjects = cohort.subjects
    raw = pd.read_csv(large_tree / "participants.tsv", sep="\t", dtype=str).set_index("BIDS_ID")
    assert subjects["sex"].value_counts().to_dict() == {
        "female": int((raw["sex"] == "0").sum()),
        "male": int((raw["sex"] == "1").sum()),
    }
    assert subjects.loc[raw.index, "age"].astype(int).tolist() == raw["age"].astype(int).tolist()
    assert subjects["age"].notna().sum() == 51
    columns = cohort.columns
    assert columns["age"].unit == "years"
    assert columns["Second follow-up pain NRS (0-10)"].description != ""
    assert subjects["Pain_side"].dropna().isin(["R", "L", "Bilateral"]).all()
    assert "R = Right-sided pain" in columns["Pain_side"].description
    assert cohort.meta["licence"] == "CC0"


def test_metadata_of_the_large_tree(large_tree: Path) -> None:
    image = large_tree / "sub-009" / "anat" / "sub-009_run-01_T1w.nii.gz"
    said = sidecar(image, large_tree)
    assert said == json.loads(Path(str(image).replace(".nii.gz", ".json")).read_text())
    assert said["MagneticFieldStrength"] == 3


def test_the_tree_with_sessions(shared_data: Path) -> None:
    root = shared_data / "mri" / "bids_tree"
    with pytest.warns(DataWarning, match="'age' of scans.tsv is in 'years', 'months'"):
        cohort = read_bids(root, validate_images=True)
    assert keys(cohort.images) == [
        ("sub-0001", "V01", "T1w", None),
        ("sub-0001", "V02", "T1w", None),
        ("sub-0002", "V01", "T1w", None),
        ("sub-0009", "V01", "T2w", None),
    ]
    assert cohort.images["present"].all()
    sessions = cohort.measurements["sessions"]
    assert sessions[["visit", "age"]].values.tolist() == [["V01", 6.0], ["V02", 6.0]]
    scans = cohort.measurements["scans"]
    assert scans["age"].tolist() == [6.0, 23.0, 25.0]
    assert scans["age_unit"].tolist() == ["years", "months", "gestational_weeks"]
    assert pick(cohort, "scan", "where BIDS doesn't expect them")["n"] == 2
    assert cohort.subject("sub-0001").image("T1w", visit="V02").ndim == 3


@pytest.mark.parametrize(
    ("name", "listed"), [("ds000208", 76), ("ds000220", 26), ("ds001928", 40), ("ds005016", 147)]
)
def test_published_tables_of_people(shared_data: Path, name: str, listed: int) -> None:
    root = shared_data / "clinical" / f"openneuro_{name}"
    with pytest.warns(DataWarning, match=f"{listed} people of participants.tsv have no folder"):
        cohort = read_bids(root)
    assert len(cohort) == listed
    raw = pd.read_csv(root / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    sex = raw.get("sex", raw.get("gender"))
    expected = sex.str.lower().str[0].eq("f").sum()
    assert (cohort.subjects["sex"] == "female").sum() == expected
    if name == "ds001928":
        assert cohort.subjects["diagnosis"].value_counts().to_dict() == {"FM": 20, "HC": 20}
    if name == "ds005016":
        assert "diagnosis" not in cohort.subjects  # its groups are the arms of a trial


def test_a_tree_that_says_it_is_synthetic(tmp_path):
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"x")
    description = tmp_path / "dataset_description.json"
    for said, expected in (("", False), (', "Synthetic": true', True)):
        description.write_text('{"Name": "Pain", "BIDSVersion": "1.9.0"' + said + "}")
        assert read_bids(tmp_path).synthetic is expected
