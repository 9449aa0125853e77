"""Rules that name a mechanism, and the evidence behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort
from precisionpain.datasets import sample_tn
from precisionpain.errors import FormatError, MissingModalityError
from precisionpain.fusion import (
    MECHANISMS,
    Mechanism,
    MechanismEvidence,
    MechanismRules,
    MechanismTable,
    check_subtype_classifier,
)
from precisionpain.proteomics import panels

MINE = MechanismTable([
    Mechanism("hot", (MechanismEvidence(("clinical:heat",), 1, "heat"),)),
    Mechanism("thin", (MechanismEvidence(("clinical:width",), -1, "width"),)),
])  # fmt: skip


def people(heat: list[float], width: list[float]) -> Cohort:
    index = pd.Index([f"p{i:03d}" for i in range(len(heat))], name="subject_id")
    return Cohort(pd.DataFrame({"heat": heat, "width": width}, index))


@pytest.fixture(scope="module")
def cohort():
    return sample_tn(160, 1, subtype_shift=6.0)


def test_the_score_is_a_signed_z():
    rng = np.random.default_rng(0)
    heat, width = rng.normal(10, 2, 50), rng.normal(3, 0.5, 50)
    rules = MechanismRules(MINE).fit(people([*heat], [*width]))
    scores = rules.transform(people([14.0], [2.0]))
    assert scores["hot"].item() == pytest.approx((14 - heat.mean()) / heat.std())
    assert scores["thin"].item() == pytest.approx(-(2 - width.mean()) / width.std())


def test_rules_name_or_say_that_they_can_t():
    rng = np.random.default_rng(1)
    numbers = [*rng.normal(0, 1, 100)]
    base = people(numbers, [-number for number in numbers[::-1]])
    rules = MechanismRules(MINE, threshold=1.0, margin=0.5).fit(base)
    new = people([3.0, 0.0, 3.0, np.nan], [0.0, 0.2, -3.0, np.nan])
    assert rules.predict(new).tolist() == ["hot", "undetermined", "undetermined", "unassigned"]
    why = rules.explain(new).tolist()
    assert why[0].startswith("hot (+")
    assert "heat 3" in why[0]
    assert "higher" in why[0]
    assert "no mechanism reaches 1 SD" in why[1]
    assert "closer than 0.5 SD" in why[2]
    p = rules.predict_proba(new)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[3], 0.5)


def test_controls_are_the_reference(cohort):
    rules = MechanismRules(controls={"diagnosis": "control"}).fit(cohort)
    assert rules.reference_ == "40 controls"
    controls = cohort.where(diagnosis="control")
    scores = rules.transform(controls)
    np.testing.assert_allclose(scores.mean(), 0, atol=1e-9)
    np.testing.assert_allclose(scores.std(ddof=0), 1, atol=1e-9)
    patients = cohort.where(diagnosis="TN")
    assert MechanismRules(controls={"diagnosis": "control"}).fit(patients).reference_ == (
        "120 training people"
    )


def test_most_are_named_right_where_the_truth_is_strong(cohort):
    patients = cohort.where(diagnosis="TN")
    said = MechanismRules().fit(patients).predict(patients)
    truth = patients.subjects["latent_subtype"].to_numpy()
    named = np.isin(said, list(truth))
    assert named.mean() > 0.5
    assert (said[named] == truth[named]).mean() > 0.8


def test_evidence_agrees_with_the_panels():
    """Where a panel gives a protein an axis of a mechanism's name, the table has it there."""
    ours = {
        column.removeprefix("protein:"): (item.name, one.sign)
        for item in MECHANISMS
        for one in item.evidence
        for column in one.columns
        if column.startswith("protein:")
    }
    names = {item.name for item in MECHANISMS}
    checked = 0
    for panel in ("trigeminal_wide", "crps"):
        for analyte in panels[panel]:
            if analyte.name in ours and analyte.axis in names:
                assert ours[analyte.name] == (analyte.axis, analyte.sign)
                checked += 1
    assert checked >= 6
    assert MECHANISMS.to_frame()["source"].ne("").all()


def test_plates_are_taken_out(cohort):
    moved = cohort.assays["csf_pea"].copy()
    far = (moved.obs["plate"] == moved.obs["plate"].iloc[0]).to_numpy()
    values = np.asarray(moved.X).copy()
    values[far] += 3.0
    moved.X = values
    shifted = cohort.with_assay("csf_pea", moved)
    one = MechanismRules().fit(cohort).transform(cohort)
    two = MechanismRules().fit(shifted).transform(shifted)
    raw = MechanismRules(adjust_for=()).fit(shifted).transform(shifted)
    assert np.nanmax(np.abs(one - two)) < 0.35
    assert np.nanmax(np.abs(one - raw)) > 1.0


def test_the_contract(cohort):
    done = check_subtype_classifier(MechanismRules, cohort[:60])
    assert "people who lack blocks" in done


def test_what_makes_no_sense_is_refused():
    with pytest.raises(FormatError, match="sign of 1 or -1"):
        MechanismEvidence(("clinical:x",), 0)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="source:column"):
        MechanismEvidence(("x",))
    with pytest.raises(FormatError, match="no evidence"):
        Mechanism("none", ())
    with pytest.raises(FormatError, match="given twice"):
        MechanismTable([*MINE, MINE[0]])
    other = MechanismTable([Mechanism("dry", (MechanismEvidence(("clinical:rain",), -1),))])
    with pytest.raises(MissingModalityError, match="none of the evidence"):
        MechanismRules(other).fit(people([1.0, 2.0] * 10, [1.0, 3.0] * 10))
    with pytest.raises(FormatError, match="MechanismTable"):
        MechanismRules([MINE[0]]).fit(people([1.0, 2.0] * 10, [1.0, 3.0] * 10))  # type: ignore[arg-type]
