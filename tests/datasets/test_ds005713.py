"""The trigeminal neuralgia cohort ds005713, against the files read by other means."""

from __future__ import annotations

import csv
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import pandas as pd
import pytest

from precisionpain.cohort.core import Cohort
from precisionpain.datasets import ds005713
from precisionpain.datasets._ds005713.clean import parse_mri
from precisionpain.datasets.ds005713 import accounting, ds005713_registry, fetch_ds005713
from precisionpain.errors import AlignmentError, FormatError, LeakageError, StorageError

ONLY_PSYCHOLOGY = {"sub-023", "sub-093", "sub-141", "sub-144", "sub-23", "sub-31"}


@pytest.fixture(scope="module")
def mirror(shared_data: Path) -> Path:
    return shared_data / "tn_ds005713"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ds005713")


@pytest.fixture(scope="module")
def cohort(mirror: Path, root: Path) -> Cohort:
    return fetch_ds005713(root, mirror=mirror, progress=False)


def plain(path: Path) -> list[dict[str, str]]:
    """Read a table with nothing but the csv module."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream, delimiter="\t") if any(map(str.strip, row))]
    return [
        {name: cell.strip() for name, cell in zip(rows[0], row, strict=True) if name}
        for row in rows[1:]
    ]


@pytest.fixture(scope="module")
def people(mirror: Path) -> dict[str, dict[str, str]]:
    return {row["BIDS_ID"]: row for row in plain(mirror / "participants_v2.0.1.tsv")}


@pytest.fixture(scope="module")
def assessments(mirror: Path) -> dict[str, dict[str, str]]:
    return {row["BIDS_ID"]: row for row in plain(mirror / "participants_psychology_v2.0.1.tsv")}


def mentions(cohort: Cohort, *words: str) -> pd.DataFrame:
    detail = cohort.provenance["detail"]
    return cohort.provenance[[all(word in text for word in words) for text in detail]]


# --- people and outcomes -------------------------------------------------------------


def test_people(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    assert list(cohort.subjects.index) == list(people)
    assert cohort.n_subjects == 173
    assert cohort.subjects["diagnosis"].value_counts().to_dict() == {"TN": 120, "control": 53}
    assert cohort.name == "ds005713"
    assert not cohort.synthetic
    assert cohort.landmark == 0
    assert cohort.meta["licence"] == "CC0"
    assert cohort.meta["index_event"] == "surgery"
    assert cohort.meta["doi"] == "10.18112/openneuro.ds005713.v2.0.2"


def test_ids_that_look_alike_are_two_people(
    cohort: Cohort, people: dict[str, dict[str, str]]
) -> None:
    frame = cohort.subjects
    assert frame.loc["sub-01", "diagnosis"] == "control"
    assert frame.loc["sub-010", "diagnosis"] == "TN"
    for who in ("sub-01", "sub-010", "sub-10", "sub-100"):
        assert frame.loc[who, "age"] == float(people[who]["age"])


def test_surgery_and_outcome_as_counted_in_the_file(
    cohort: Cohort, people: dict[str, dict[str, str]]
) -> None:
    named = {"MVD": "MVD", "PI": "percutaneous", "Outpatient": "none", "": None}
    ends = {"Pos": "positive", "Neg": "negative", "NA": None, "": None}
    expected = Counter(
        (named[row["Surgery_type"]], ends[row["Surgery_outcome"]]) for row in people.values()
    )
    frame = cohort.subjects[["surgery", "surgery_outcome"]].astype(object)
    frame = frame.where(frame.notna(), None)
    assert Counter(frame.itertuples(index=False, name=None)) == expected
    response = cohort.outcome("mvd_response")
    assert (response == 1).sum() == 60
    assert (response == 0).sum() == 15
    mvd = cohort.subjects["surgery"] == "MVD"
    assert response[mvd.to_numpy()].isna().sum() == 5
    assert response[~mvd.to_numpy()].isna().all()
    every = cohort.outcome("surgery_response")
    assert ((every == 1).sum(), (every == 0).sum()) == (83, 20)


def test_sindou_grade_by_outcome(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    from sklearn.metrics import roc_auc_score

    graded = [
        (int(row["Sindou_grade"]), row["Surgery_outcome"] == "Pos")
        for row in people.values()
        if row["Surgery_type"] == "MVD"
        and row["Sindou_grade"] != "NA"
        and row["Surgery_outcome"] != "NA"
    ]
    counts = Counter(graded)
    assert counts == {
        (1, True): 7,
        (2, True): 15,
        (3, True): 24,
        (1, False): 3,
        (2, False): 7,
        (3, False): 3,
    }
    response = cohort.outcome("mvd_response")
    known = response.notna() & cohort.subjects["sindou_grade"].notna()
    grade, positive = cohort.subjects.loc[known, "sindou_grade"], response[known] == 1
    assert Counter(zip(grade.astype(int), positive, strict=True)) == counts
    # Area under the curve: the share of pairs in the right order, ties half.
    pairs = sum(
        n * m * ((a > b) + 0.5 * (a == b))
        for (a, up), n in counts.items()
        for (b, low), m in counts.items()
        if up and not low
    ) / (46 * 13)
    area = roc_auc_score(positive, grade.astype(float))
    assert area == pytest.approx(pairs, abs=1e-12)
    assert area == pytest.approx(0.64, abs=0.005)


def test_grade_zero_never_occurs(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    assert set(cohort.subjects["sindou_grade"].dropna().astype(int)) == {1, 2, 3}
    assert cohort.subjects["sindou_grade"].isna().sum() == sum(
        row["Sindou_grade"] == "NA" for row in people.values()
    )


def test_positive_is_almost_a_full_reduction(cohort: Cohort) -> None:
    frame = cohort.subjects
    known = frame["surgery_outcome"].notna()
    differ = known & (
        (frame["surgery_outcome"] == "positive") != (frame["pain_reduction_percent"] == 100)
    )
    assert list(frame.index[differ]) == ["sub-042", "sub-046"]
    assert mentions(cohort, "positive outcome with less", "sub-042")["n"].tolist() == [1]
    assert mentions(cohort, "negative outcome with 100%", "sub-046")["n"].tolist() == [1]


def test_nothing_of_the_outcome_predicts(cohort: Cohort) -> None:
    after = [
        "surgery_outcome",
        "pain_reduction_percent",
        "complications",
        "any_complication",
        "followup_1_available",
        "followup_1_day",
        "followup_2_available",
        "followup_2_pain",
        "followup_2_day",
    ]
    for name in after:
        assert cohort.columns[name].role == "outcome"
        with pytest.raises(LeakageError, match=name):
            cohort.predictor_frame([name])
    assert not set(after) & set(cohort.predictors)
    # No numeric predictor orders the outcomes as well as something derived from them would.
    from sklearn.metrics import roc_auc_score

    response = cohort.outcome("surgery_response")
    frame = cohort.subjects.assign(reduction=cohort.subjects["pain_reduction_percent"])
    areas = {}
    for name in [*cohort.predictors, "reduction"]:
        values = pd.to_numeric(frame[name], errors="coerce").astype(float)
        known = (response.notna() & values.notna()).to_numpy()
        if known.sum() > 30 and values[known].nunique() > 1:
            area = roc_auc_score(response[known], values[known])
            areas[name] = max(area, 1 - area)
    assert areas.pop("reduction") > 0.95
    assert max(areas.values()) < 0.85
    assert {"sindou_grade", "age", "pain_severity", "surgery"} <= set(cohort.predictors)


def test_further_outcomes(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    pain = [row["Second follow-up pain NRS (0-10)"] for row in people.values()]
    free = cohort.outcome("pain_free_followup_2")
    assert (free == 1).sum() == pain.count("0") == 79
    assert free.isna().sum() == pain.count("") == 80
    after_mvd = cohort.outcome("mvd_pain_free_followup_2")
    assert (after_mvd == 1).sum() == sum(
        row["Surgery_type"] == "MVD" and row["Second follow-up pain NRS (0-10)"] == "0"
        for row in people.values()
    )
    assert cohort.outcome("followup_2_pain").sum() == sum(float(v) for v in pain if v)
    complications = [row["Surgical_complications"] for row in people.values()]
    any_of = cohort.outcome("complication")
    assert (any_of == 0).sum() == complications.count("no")
    assert any_of.isna().sum() == complications.count("") + complications.count("outpatient")
    assert cohort.outcome("pain_reduction").notna().sum() == 103


# --- visits and follow-up ------------------------------------------------------------


def test_visits(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    visits = cohort.visits.set_index(["subject_id", "visit"])["day"]
    by_visit = cohort.visits.groupby("visit")["subject_id"].nunique()
    assert by_visit["preop"] == 173
    assert by_visit["discharge"] == 111
    assert by_visit["followup_2"] == 93
    for who, row in people.items():
        if row["First follow-up time (in days)"]:
            assert visits[who, "followup_1"] == float(row["First follow-up time (in days)"])
        if row["Second follow-up  time (in days)"]:
            assert visits[who, "followup_2"] == float(row["Second follow-up  time (in days)"])
    assert visits.xs("preop", level="visit").isna().all()
    assert cohort.schedule.loc["preop", "phase"] == "before"
    assert set(cohort.schedule.drop(index="preop")["phase"]) == {"after"}


def test_first_follow_up_flags_and_days(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    unmarked = sorted(
        who
        for who, row in people.items()
        if row["First follow-up"] == "no" and row["First follow-up time (in days)"]
    )
    assert unmarked == ["sub-069", "sub-097", "sub-130", "sub-133", "sub-142"]
    frame = cohort.subjects.loc[unmarked]
    assert not frame["followup_1_available"].any()
    assert frame["followup_1_day"].notna().all()
    entry = mentions(cohort, "its day is given")
    assert entry["n"].tolist() == [5]
    assert all(who in entry["detail"].iloc[0] for who in unmarked)
    # The README says 245 days.
    days = [
        float(row["First follow-up time (in days)"])
        for row in people.values()
        if row["First follow-up time (in days)"]
    ]
    assert median(days) == cohort.subjects["followup_1_day"].median() == 202
    assert cohort.subjects["followup_2_day"].median() == 568


def test_scanned_and_assessed_though_marked_no(cohort: Cohort) -> None:
    assert mentions(cohort, "scanned at the first follow-up", "sub-111")["n"].tolist() == [1]
    assert mentions(cohort, "second assessment", "sub-113", "sub-142")["n"].tolist() == [2]
    visits = set(cohort.visits[["subject_id", "visit"]].itertuples(index=False, name=None))
    assert {("sub-111", "followup_1"), ("sub-113", "followup_1")} <= visits


# --- parsed columns ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal", ("none", 0, "none", False, None)),
        ("Fazekas 1 ", ("none", 1, "none", False, None)),
        ("right NVC, Fasekas 2", ("right", 2, "none", False, None)),
        ("Right NVC, Fazekas 2", ("right", 2, "none", False, None)),
        ("bilateral NVC, Fazekas 2", ("bilateral", 2, "none", False, None)),
        ("left and right-sided NVC", ("bilateral", 0, "none", False, None)),
        ("sequeale of left MVD, Fazekas 3", ("none", 3, "left", False, None)),
        (
            "sequelae of left MVD, vertebrobasilar dolichoectasia, Fazekas 1",
            ("none", 1, "left", True, None),
        ),
        (
            "left NVC, Fazekas 2, sequelae of left MCA stroke",
            ("left", 2, "none", False, "sequelae of left MCA stroke"),
        ),
        (
            "left posterior fossa DVA, NVC; left transverse sinus thrombosis",
            (
                "left",
                0,
                "none",
                False,
                "left posterior fossa DVA; left transverse sinus thrombosis",
            ),
        ),
        ("Kiari 1, Fazekas 1", ("none", 1, "none", False, "Kiari 1")),
    ],
)
def test_mri_findings(text: str, expected: tuple[object, ...]) -> None:
    assert tuple(parse_mri(text).values()) == expected


@pytest.mark.parametrize("text", ["NVC", "left NVC, right NVC", "Fazekas 1, Fazekas 2"])
def test_mri_findings_that_cannot_be_read(text: str) -> None:
    with pytest.raises(FormatError, match="can't read"):
        parse_mri(text)


def test_every_mri_finding_is_kept(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    frame = cohort.subjects
    for who, row in people.items():
        text = row["MRI_finding"].lower()
        assert (frame.loc[who, "nvc_side"] != "none") == ("nvc" in text)
        assert (frame.loc[who, "mvd_sequelae_side"] != "none") == ("mvd" in text)
        assert frame.loc[who, "dolichoectasia"] == ("dolichoectasia" in text)
        grade = text.partition("azekas ")[2] or text.partition("asekas ")[2]
        assert frame.loc[who, "fazekas_grade"] == int(grade[:1] or 0)
        assert frame.loc[who, "mri_finding"].lower() == text


def test_contradictions_are_recorded(cohort: Cohort) -> None:
    for words, n in [
        (("grade though the MRI finding names no conflict", "sub-053"), 1),
        (("controls with a neurovascular conflict", "sub-06"), 5),
        (("opposite to the pain", "sub-087"), 1),
        (("sequelae of a decompression on MRI", "sub-025", "sub-062"), 2),
        (("second follow-up isn't after the first", "sub-121"), 1),
        (("BMI is below 30",), 3),
        (("Trail Making Test", "sub-065"), 4),
        (("without any image", "sub-094"), 1),
    ]:
        assert mentions(cohort, *words)["n"].tolist() == [n], words


def test_plain_columns(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    frame = cohort.subjects
    for name, raw in [
        ("age", "age"),
        ("pain_severity", "Pain_severity (average score)"),
        ("disease_duration_years", "Disease_duration (years)"),
        ("bmi", "BMI"),
        ("pain_reduction_percent", "Postsurgery_pain_reduction (%)"),
    ]:
        expected = {w: float(r[raw]) for w, r in people.items() if r[raw] not in ("", "NA")}
        assert frame[name].dropna().astype(float).to_dict() == expected
    sides = {"R": "right", "L": "left", "Bilateral": "bilateral"}
    assert frame["affected_side"].dropna().to_dict() == {
        who: sides[row["Pain_side"]] for who, row in people.items() if row["Pain_side"]
    }
    # participants.json: 0 female, 1 male.
    assert (frame["sex"] == "male").sum() == sum(row["sex"] == "1" for row in people.values())
    assert frame["ethnicity"].value_counts().to_dict() == {"White": 106, "Asian": 14}
    assert frame["occupation"].value_counts().to_dict() == {
        "retired": 63,
        "full-time employed": 51,
        "unemployed": 4,
    }
    assert frame["education_level"].value_counts().sort_index().tolist() == [1, 18, 69, 31]
    assert frame["pain_type"].value_counts().to_dict() == {"paroxysmal": 110, "persistent": 10}
    assert list(frame.index[frame["sunct_suna"].astype(bool)]) == sorted(
        who for who, row in people.items() if "SUN" in row["Clinical_finding"]
    )


def test_earlier_surgery(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    frame = cohort.subjects
    controls = frame["diagnosis"] == "control"
    for name in ("previous_surgery", "previous_mvd", "previous_percutaneous"):
        assert frame.loc[controls, name].isna().all()
        assert frame.loc[~controls, name].notna().all()
    assert frame["previous_surgery"].sum() == 22
    either = frame["previous_mvd"].fillna(False) | frame["previous_percutaneous"].fillna(False)
    assert (either == frame["previous_surgery"].fillna(False)).all()
    texts = {who: row["Previous_surgery_type"] for who, row in people.items()}
    assert frame["previous_mvd"].sum() == sum("MVD" in text for text in texts.values())
    # One text tells of a percutaneous procedure that is the present one.
    assert "PI was done" in texts["sub-081"]
    assert frame.loc["sub-081", "surgery"] == "percutaneous"


def test_comorbidities(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    frame = cohort.subjects
    for word in ("hypertension", "obesity", "diabetes", "dyslipidemia"):
        flag = frame[f"comorbidity_{word}"]
        texts = {who: row["Comorbid medical conditions"].lower() for who, row in people.items()}
        assert set(frame.index[flag.fillna(False).astype(bool)]) == {
            who for who, text in texts.items() if word in text
        }
        assert set(frame.index[flag.isna()]) == {who for who, text in texts.items() if not text}


def test_drugs(cohort: Cohort, people: dict[str, dict[str, str]]) -> None:
    drugs = cohort.measurements["drugs"]
    raw = "Pharm_treatment (daily dose, mg)"
    plus = {
        who: row[raw].count("+") + 1
        for who, row in people.items()
        if row[raw] not in ("", "NA", "No")
    }
    assert drugs["subject_id"].value_counts().to_dict() == plus
    assert (drugs["visit"] == "preop").all()
    frame = cohort.subjects
    assert frame["n_drugs"].dropna().astype(int).to_dict() == plus | {
        who: 0 for who, row in people.items() if row[raw] == "No"
    }
    # Doses read by hand from the file.
    by_hand = {
        "CBZ (1200) + GBP (3600)": (1200, 1200),
        "CBZ (600) + AMT (12,5)": (600, 600),
        "OXCBZ (600) + GBP (1200)": (0, 400),
        "OXCBZ (300)": (0, 200),
        "CBZ": (None, None),
        "CBZ+ LMTG": (None, None),
        "CBZ + PGB + GBP": (None, None),
        "GBP (900)": (0, 0),
        "No": (0, 0),
        "NA": (None, None),
    }
    for who, row in people.items():
        if row[raw] in by_hand:
            for name, value in zip(
                ("carbamazepine_mg_day", "carbamazepine_equivalent_mg_day"),
                by_hand[row[raw]],
                strict=True,
            ):
                found = frame.loc[who, name]
                assert pd.isna(found) if value is None else found == pytest.approx(value)
    amitriptyline = drugs.loc[drugs["drug"] == "amitriptyline", "dose_mg_day"]
    assert sorted(amitriptyline) == [12.5, 12.5, 12.5, 25, 25, 25, 25, 150]
    assert drugs.loc[~drugs["dose_known"], "dose_mg_day"].isna().all()
    assert (~drugs["dose_known"]).sum() == 11  # 6 × CBZ alone, CBZ+LMTG, CBZ+PGB+GBP


# --- psychology and image quality ----------------------------------------------------


def test_psychology(cohort: Cohort, assessments: dict[str, dict[str, str]]) -> None:
    assert set(assessments) - set(cohort.subjects.index) == ONLY_PSYCHOLOGY
    entry = mentions(cohort, "without a row in the table of the participants", "sub-093")
    assert entry["n"].tolist() == [6]
    assert all(who in entry["detail"].iloc[0] for who in ONLY_PSYCHOLOGY)
    long = cohort.measurements["psychology"].set_index(["subject_id", "visit"])
    frame = cohort.subjects
    for name, raw in [
        ("cognition_mmse", "MMSE"),
        ("psychology_stai_state", "STAI-S"),
        ("cognition_tmt_b", "TMTB"),
        ("psychology_pcs", "Catastroph"),
    ]:
        expected = {
            w: float(r[raw]) for w, r in assessments.items() if r[raw] and w not in ONLY_PSYCHOLOGY
        }
        assert frame[name].dropna().astype(float).to_dict() == expected
        assert long.xs("preop", level="visit")[name].dropna().to_dict() == expected
    after = long.xs("followup_1", level="visit")
    for name, raw in [
        ("cognition_rey_copy", "Rey_copy2"),
        ("psychology_tas20", "TAS2"),
        ("psychology_tu", "TU2"),
        ("cognition_fluency_letter", "Fluency_L2"),
    ]:
        expected = {
            w: float(r[raw]) for w, r in assessments.items() if r[raw] and w not in ONLY_PSYCHOLOGY
        }
        assert after[name].dropna().astype(float).to_dict() == expected
    assert not [name for name in cohort.predictors if "second" in name or name.endswith("2")]


def test_dates_made_of_numbers_are_missing_and_recorded(cohort: Cohort) -> None:
    frame = cohort.subjects
    for who, name, cell in [
        ("sub-32", "psychology_leq", "1/5"),
        ("sub-33", "psychology_leq", "1/3"),
        ("sub-43", "education_years", "11/5"),
    ]:
        assert pd.isna(frame.loc[who, name])
        assert mentions(cohort, repr(cell), who)["n"].tolist() == [1]


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "dwi", "bold"])
def test_image_quality(cohort: Cohort, mirror: Path, contrast: str) -> None:
    table = cohort.measurements[f"mriqc_{contrast}"]
    with (mirror / "mriqc_data" / f"group_{contrast}.tsv").open() as stream:
        lines = [line.rstrip("\n").split("\t") for line in stream]
    rows = {row[0]: dict(zip(lines[0], row, strict=True)) for row in lines[1:] if len(row) > 1}
    inside = {
        name: row for name, row in rows.items() if name.split("_")[0] in cohort.subjects.index
    }
    assert len(table) == len(inside)
    assert (table["visit"] == "preop").all()
    for _, found in table.iloc[::10].iterrows():
        run = "" if pd.isna(found["run"]) else f"_run-{found['run']:02d}"
        task = "_task-rest" if contrast == "bold" else ""
        row = inside[f"{found['subject_id']}{task}{run}_{contrast}"]
        for name in ("efc", "efc_shell01", "summary_bg_stdv", "snr_total", "tsnr"):
            if name in row:
                assert found[name] == float(row[name])
    for name in table.columns.intersection(["fber", "fber_shell01"]):
        undefined = sum(float(row[name]) == -1 for row in inside.values())
        assert table[name].isna().sum() == undefined
        assert not (table[name] == -1).any()


def test_the_truncated_quality_table_is_recorded(cohort: Cohort) -> None:
    entry = mentions(cohort, "truncated upstream", "sub-12_task-rest_bol")
    assert entry["n"].tolist() == [1]


# --- every column --------------------------------------------------------------------


def test_every_column_of_every_file_is_accounted_for(cohort: Cohort, mirror: Path) -> None:
    account = accounting(cohort)
    files = {
        "participants.tsv": "participants_v2.0.1.tsv",
        "participants_psychology.tsv": "participants_psychology_v2.0.1.tsv",
        **{
            f"mriqc_data/group_{c}.tsv": f"mriqc_data/group_{c}.tsv"
            for c in ("T1w", "T2w", "dwi", "bold")
        },
    }
    for table, file in files.items():
        with (mirror / file).open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, delimiter="\t"))
        mine = account[account["table"] == table]
        named = [name for name in header if name]
        assert set(named) <= set(mine["raw column"]), table
        assert len(set(mine["raw column"])) == len(header), table
    assert set(account["table"]) == set(files)
    blank = account["raw column"].str.contains("no header")
    assert blank.sum() == 12
    assert (account.loc[blank, "role"] == "unused").all()
    unused = account["role"] == "unused"
    assert (account.loc[unused, "reason"] != "").all()
    stored = account[~unused & (account["table"] == "participants.tsv")]["stored as"]
    assert set(stored) - {"subject_id"} <= set(cohort.subjects.columns)
    assert set(cohort.subjects.columns) <= set(account["stored as"])


def test_every_stored_column_is_described(cohort: Cohort) -> None:
    for name in cohort.subjects:
        assert cohort.columns[name].source
        if cohort.columns[name].role == "outcome":
            assert cohort.columns[name].reason


def test_accounting_needs_this_cohort() -> None:
    other = Cohort(pd.DataFrame({"age": [1.0]}, index=["p"]))
    with pytest.raises(FormatError, match="no account"):
        accounting(other)


# --- images --------------------------------------------------------------------------


def test_images_are_listed_though_absent(cohort: Cohort, mirror: Path) -> None:
    listed = {}
    for line in (mirror / "annexed_files_size_sha256.tsv").read_text().splitlines():
        path, size, digest = line.split("\t")
        folder = path.split("/")[1]
        if path.endswith(".nii.gz") and folder.removesuffix("fu") in cohort.subjects.index:
            listed[Path(path).name] = (folder, int(size), digest)
    images = cohort.images
    assert len(images) == len(listed)
    assert not images["present"].any()
    assert set(images["reason"]) == {"not fetched"}
    for row in images.itertuples():
        folder, size, digest = listed[Path(row.path).name]
        assert (row.bytes, row.sha256) == (size, digest)
        assert row.subject_id == folder.removesuffix("fu")
        assert row.visit == ("followup_1" if folder.endswith("fu") else "preop")
        assert f"_{row.contrast}.nii.gz" in row.path
        assert pd.isna(row.run) == ("_run-" not in row.path)
    followed = images.loc[images["visit"] == "followup_1", "subject_id"].nunique()
    assert followed == 65
    contrasts = Counter(name.removesuffix(".nii.gz").rpartition("_")[2] for name in listed)
    assert images["contrast"].value_counts().to_dict() == contrasts
    entry = mentions(cohort, "images of people without a row")
    assert all(who in entry["detail"].iloc[0] for who in ("sub-023", "sub-23", "sub-31"))


def test_sidecars_out_of_the_archive(mirror: Path, tmp_path: Path) -> None:
    cohort = fetch_ds005713(
        tmp_path, mirror, what=("sidecars",), subjects=["sub-009"], progress=False
    )
    folders = {p.name for p in tmp_path.glob("sub-*")}
    assert folders == {"sub-009", "sub-009fu"}
    mine = cohort.images[cohort.images["subject_id"] == "sub-009"]
    assert mine["sidecar"].map(lambda p: Path(p).is_file()).all()
    dwi = mine[mine["contrast"] == "dwi"]
    assert dwi[["bval", "bvec"]].notna().all().all()
    assert mine.loc[mine["contrast"] == "T1w", "bval"].isna().all()
    others = cohort.images[cohort.images["subject_id"] != "sub-009"]
    assert others["sidecar"].isna().all()


def test_images_asked_of_a_mirror_without_them(mirror: Path, tmp_path: Path) -> None:
    cohort = fetch_ds005713(
        tmp_path, mirror, what=["T1w", "dwi"], subjects=["sub-01"], progress=False
    )
    assert not cohort.images["present"].any()
    assert mentions(cohort, "not in the mirror")["n"].tolist() == [6]  # 2 × T1w, 4 × dwi


# --- fetching ------------------------------------------------------------------------


def test_the_mirror_stays_as_it_is_and_a_second_call_copies_nothing(
    mirror: Path, root: Path, cohort: Cohort
) -> None:
    table = root / "participants.tsv"
    assert hashlib.sha256(table.read_bytes()).hexdigest() == (
        ds005713_registry()["participants.tsv"].sha256
    )
    assert len(mentions(cohort, "copied from participants_v2.0.1.tsv")) == 1
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    again = fetch_ds005713(root, progress=False)  # without mirror or net: all is there
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
    pd.testing.assert_frame_equal(again.subjects, cohort.subjects)
    assert mentions(again, "already there")["n"].tolist() == [10]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A bucket with the truncated table, and a tag with the complete one."""
    folder = tmp_path / "web"
    fetch_ds005713(folder / "bucket", mirror, progress=False)
    (folder / "tag").mkdir()
    (folder / "bucket/participants.tsv").rename(folder / "tag/participants.tsv")
    whole = (folder / "tag/participants.tsv").read_bytes()
    (folder / "bucket/participants.tsv").write_bytes(whole[:14070])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(ds005713, "TAG", f"{url}/tag")
    yield url, folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_truncated_table_is_refused_and_the_complete_one_fetched(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = web
    cohort = fetch_ds005713(tmp_path / "root", base_url=f"{url}/bucket/", progress=False, jobs=2)
    assert cohort.n_subjects == 173
    entry = mentions(cohort, "51 of 173 people", "refused")
    assert "the server has one of 14070" in entry["detail"].iloc[0]
    assert len(mentions(cohort, "participants.tsv downloaded", "/tag")) == 1


def test_images_are_downloaded_and_present(
    web: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = web
    path = "sub-01/anat/sub-01_run-01_T1w.nii.gz"
    content = b"\x1f\x8b a scan of this test"
    registry = {k: f for k, f in ds005713_registry().items() if not k.startswith("sub-")}
    file = ds005713_registry()[path]
    registry[path] = type(file)(path, len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(ds005713, "ds005713_registry", lambda: registry)
    served = folder / "bucket" / path
    served.parent.mkdir(parents=True)
    served.write_bytes(content)
    root = tmp_path / "root"
    cohort = fetch_ds005713(root, what="T1w", base_url=f"{url}/bucket", progress=False)
    assert cohort.images["present"].tolist() == [True]
    assert cohort.has("T1w")["sub-01"]
    (root / path).write_bytes(b"cut")
    monkeypatch.setattr(ds005713, "ds005713_registry", lambda: registry)
    with pytest.raises(StorageError, match="not the registered one"):
        fetch_ds005713(root, what="T1w", base_url=f"{url}/bucket", progress=False)
    later = fetch_ds005713(root, base_url=f"{url}/bucket", progress=False)
    assert later.images["reason"].tolist() == [f"3 bytes instead of {len(content)}"]


def truncated(mirror: Path, tmp_path: Path) -> bytes:
    """Version 2.0.2 of the table, out of the archive."""
    import tarfile

    with tarfile.open(mirror / "ds005713_bids_tree_without_images.tar.gz") as tar:
        member = next(m for m in tar if m.name.endswith("participants.tsv"))
        stream = tar.extractfile(member)
        assert stream is not None
        return stream.read()


def test_a_clone_with_the_truncated_table(mirror: Path, tmp_path: Path) -> None:
    old = truncated(mirror, tmp_path)
    (tmp_path / "participants.tsv").write_bytes(old)
    cohort = fetch_ds005713(tmp_path, mirror, progress=False)
    assert cohort.n_subjects == 173
    assert (tmp_path / "participants_v2.0.2_truncated.tsv").read_bytes() == old
    assert len(mentions(cohort, "renamed", "51 of 173 people")) == 1


def test_a_mirror_with_only_the_truncated_table(mirror: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mirror"
    copy.mkdir()
    (copy / "participants.tsv").write_bytes(truncated(mirror, tmp_path))
    with pytest.raises(StorageError, match="51 of 173 people"):
        fetch_ds005713(tmp_path / "root", copy, progress=False)


def test_a_table_of_somebody_else_is_not_overwritten(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("mine")
    with pytest.raises(StorageError, match="move or delete it"):
        fetch_ds005713(tmp_path, mirror, progress=False)
    assert (tmp_path / "participants.tsv").read_text() == "mine"


def test_wrong_arguments(mirror: Path, root: Path, cohort: Cohort) -> None:
    with pytest.raises(FormatError, match="'T1w'"):
        fetch_ds005713(root, mirror, what=("T1",))
    with pytest.raises(FormatError, match="jobs is at least 1"):
        fetch_ds005713(root, mirror, jobs=0)
    for unknown in ("sub-999", "sub-023", "sub-009fu"):
        with pytest.raises(AlignmentError, match=unknown):
            fetch_ds005713(root, mirror, subjects=[unknown])
