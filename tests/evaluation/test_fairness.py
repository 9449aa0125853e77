"""For whom a model holds: against counts by hand, scikit-learn, and planted unfairness."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import brier_score_loss, roc_auc_score

import precisionpain as pp
from precisionpain.cohort import Cohort
from precisionpain.errors import FormatError, MissingModalityError, SampleSizeWarning
from precisionpain.evaluation import RepeatedSubjectKFold, cross_validate, subgroups
from precisionpain.stats import adjust_p, delong, wilson


class Given(ClassifierMixin, BaseEstimator):
    """Predicts the column ``score`` of each person."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        p = X.subjects["score"].to_numpy(dtype=float)
        return np.column_stack([1 - p, p])


def result_of(subjects: pd.DataFrame, y, **options):
    cohort = Cohort(subjects.rename_axis("subject_id"))
    options = {"cv": 2, "baseline": None, **options}
    return cross_validate(Given(), cohort, pd.Series(y, subjects.index), **options)


def people(n=400, seed=0, *, bias=0.0, noise=0.0):
    """Women and men; `bias` is added to the log odds of men, `noise` hides theirs."""
    rng = np.random.default_rng(seed)
    index = [f"s{i:04d}" for i in range(n)]
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    eta = rng.normal(size=n)
    y = (rng.random(n) < expit(1.5 * eta)).astype(int)
    men = sex == "male"
    shown = 1.5 * eta + bias * men
    shown = np.where(men, (1 - noise) * shown + noise * rng.normal(size=n), shown)
    frame = pd.DataFrame(
        {"sex": sex, "age": rng.integers(20, 90, n).astype(float), "score": expit(shown)},
        index=index,
    )
    return frame, y


@pytest.fixture(scope="module")
def plain():
    frame, y = people()
    frame.loc[frame.index[:30], "sex"] = None
    return frame, y, subgroups(result_of(frame, y), ["sex", "age"], n_permutations=200)


def test_figures_are_those_of_the_people_of_the_group(plain):
    frame, y, found = plain
    for group in ("female", "male"):
        inside = (frame["sex"] == group).to_numpy()
        p, event = frame.loc[inside, "score"].to_numpy(), y[inside]
        row = found.table.loc["sex", group]
        assert (row["n"], row["events"]) == (inside.sum(), event.sum())
        assert row["auc"] == pytest.approx(roc_auc_score(event, p))
        area = delong(event, p)
        assert (row["auc_low"], row["auc_high"]) == pytest.approx((area.ci_low, area.ci_high))
        assert row["brier"] == pytest.approx(brier_score_loss(event, p))
        assert row["observed_expected"] == pytest.approx(event.sum() / p.sum())
        called = p >= 0.5
        tp, fn = (called & (event == 1)).sum(), (~called & (event == 1)).sum()
        tn, fp = (~called & (event == 0)).sum(), (called & (event == 0)).sum()
        for name, hits, of in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp),
                               ("ppv", tp, tp + fp)):  # fmt: skip
            assert row[name] == pytest.approx(hits / of)
            low, high = wilson(int(hits), int(of))
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high))
        low, high = wilson(int(event.sum()), len(event))
        assert row["observed_expected_low"] == pytest.approx(low / p.mean())
        assert row["observed_expected_high"] == pytest.approx(high / p.mean())


def test_nobody_is_dropped_and_the_missing_are_a_group(plain):
    frame, y, found = plain
    assert found.table.loc[("sex", "missing"), "n"] == 30
    for by in ("sex", "age"):
        assert found.table.loc[by, "n"].sum() == len(frame)
        assert found.table.loc[by, "events"].sum() == y.sum()
    assert found.table.index.get_level_values("group")[1:4].tolist() == [
        "female", "male", "missing",
    ]  # fmt: skip
    ages = frame["age"]
    assert found.table.loc["age", "n"].to_dict() == {
        "under 50": (ages < 50).sum(),
        "50 to under 65": ((ages >= 50) & (ages < 65)).sum(),
        "65 and over": (ages >= 65).sum(),
    }


def test_differences_and_gaps_are_those_of_the_table(plain):
    frame, y, found = plain
    p = frame["score"].to_numpy()
    women = (frame["sex"] == "female").to_numpy()
    row = found.differences.loc[("sex", "female", "auc")]
    assert row["value"] == pytest.approx(found.table.loc[("sex", "female"), "auc"])
    assert row["other"] == pytest.approx(roc_auc_score(y[~women], p[~women]))
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    for (by, metric), gap in found.gaps.iterrows():
        values = found.table.loc[by, metric]
        assert gap["gap"] == pytest.approx(values.max() - values.min())
        assert (gap["lowest"], gap["highest"]) == (values.idxmin(), values.idxmax())
    np.testing.assert_allclose(found.gaps["p_adjusted"], adjust_p(found.gaps["p_value"], "holm"))


def test_against_the_largest_group(plain):
    frame, y, _ = plain
    found = subgroups(
        result_of(frame, y), ["sex"], reference="largest", n_bootstrap=50, n_permutations=10
    )
    largest = frame["sex"].value_counts().index[0]
    assert set(found.differences["against"]) == {largest}
    assert largest not in found.differences.index.get_level_values("group")
    row = found.differences.loc[("sex", "missing", "brier")]
    assert row["other"] == pytest.approx(found.table.loc[("sex", largest), "brier"])


def test_planted_miscalibration_of_one_group_is_found():
    frame, y = people(600, 1, bias=1.2)
    found = subgroups(result_of(frame, y), "sex", n_permutations=300)
    row = found.table.loc[("sex", "male")]
    assert (
        row["observed_expected_high"]
        < 1
        < found.table.loc[("sex", "female")]["observed_expected_high"]
    )
    assert found.differences.loc[("sex", "male", "observed_expected"), "ci_high"] < 0
    assert found.gaps.loc[("sex", "observed_expected"), "p_adjusted"] < 0.05
    assert found.gaps.loc[("sex", "specificity"), "p_adjusted"] < 0.05
    assert found.gaps.loc[("sex", "auc"), "p_adjusted"] > 0.05


def test_planted_blindness_for_one_group_is_found():
    frame, y = people(600, 2, noise=0.9)
    found = subgroups(result_of(frame, y), "sex", n_permutations=300)
    assert found.gaps.loc[("sex", "auc"), "p_adjusted"] < 0.05
    assert found.gaps.loc[("sex", "auc"), "lowest"] == "male"
    assert found.differences.loc[("sex", "male", "auc"), "ci_high"] < 0


def test_intervals_and_p_hold_when_there_is_nothing():
    """Over 60 cohorts without unfairness: 95% intervals hold 0, small p are rare."""
    metrics = ("auc", "observed_expected", "brier", "sensitivity")
    holds, small = dict.fromkeys(metrics, 0), dict.fromkeys(metrics, 0)
    runs = 60
    for seed in range(runs):
        frame, y = people(200, 100 + seed)
        found = subgroups(
            result_of(frame, y), "sex", n_bootstrap=200, n_permutations=99, random_state=seed
        )
        for metric in metrics:
            row = found.differences.loc[("sex", "male", metric)]
            holds[metric] += row["ci_low"] <= 0 <= row["ci_high"]
            small[metric] += found.gaps.loc[("sex", metric), "p_value"] <= 0.05
    # Of 60, 95% ± 3 SE are 52 and more; 5% + 3 SE are at most 8.
    assert min(holds.values()) >= 52, holds
    assert max(small.values()) <= 8, small


def test_small_groups_say_so():
    frame, y = people(200, 4)
    frame["site"] = ["A"] * 150 + ["B"] * 12 + ["C"] * 38
    y = y.copy()
    y[162:] = 0
    y[162:165] = 1
    result = result_of(frame, y)
    with pytest.warns(SampleSizeWarning, match="site B, site C|too small"):
        found = subgroups(result, ["site"], n_bootstrap=50, n_permutations=20)
    table = found.table.loc["site"]
    assert table["judged"].tolist() == [True, False, False]
    assert table.loc["B", "why"] == "12 people, fewer than 20"
    assert table.loc["C", "why"] == "3 with the event, fewer than 5"
    figures = ["auc", "observed_expected", "sensitivity", "ppv", "brier", "calibration_slope"]
    assert table.loc[["B", "C"], figures].isna().all(axis=None)
    assert table["n"].sum() == 200
    assert any("too small" in note for note in found.warnings)
    assert found.gaps.empty
    assert set(found.differences.index.get_level_values("group")) == {"A"}
    shown = [text.get_text() for text in found.plot().texts]
    assert sum("not judged" in text for text in shown) == 2


def test_nobody_can_be_judged():
    frame, y = people(30, 5)
    with pytest.warns(SampleSizeWarning):
        found = subgroups(result_of(frame, y), ["sex"], min_people=100)
    assert not found.table["judged"].any()
    assert found.differences.empty
    assert "–" in repr(found)
    found.plot("ppv")


def test_repeats_are_averaged():
    frame, y = people(150, 6)

    class Jittered(Given):
        def predict_proba(self, X):
            p = super().predict_proba(X)[:, 1]
            # Another order of the training people, other predictions.
            shift = 0.3 * np.sin(np.arange(len(X)) * len(X))
            p = np.clip(p + shift, 0.01, 0.99)
            return np.column_stack([1 - p, p])

    cohort = Cohort(frame.rename_axis("subject_id"))
    result = cross_validate(
        Jittered(), cohort, pd.Series(y, frame.index), baseline=None,
        cv=RepeatedSubjectKFold(3, n_repeats=3, random_state=0),
    )  # fmt: skip
    found = subgroups(result, ["sex"], n_bootstrap=50, n_permutations=20)
    table = result.predictions
    women = table[frame["sex"].reindex(table.index).eq("female").to_numpy()]
    each = [roc_auc_score(g["y"], g["p"]) for _, g in women.groupby("repeat")]
    assert len(each) == 3
    assert found.table.loc[("sex", "female"), "auc"] == pytest.approx(np.mean(each))
    assert found.table.loc[("all", "everybody"), "auc"] == pytest.approx(result.auc.auc)
    assert found.table.loc[("sex", "female"), "n"] == frame["sex"].eq("female").sum()


def test_the_method_of_a_result_and_the_defaults():
    cohort = pp.datasets.sample_tn(n_subjects=300, random_state=2)
    result = cross_validate(
        pp.evaluation.clinical_model(), cohort, "mvd_response", baseline=None, threshold=0.8
    )
    with pytest.warns(SampleSizeWarning):
        found = result.subgroups(n_bootstrap=50, n_permutations=20)
    assert found.table.index.get_level_values("by").unique().tolist() == [
        "all", "sex", "age", "site", "ethnicity",
    ]  # fmt: skip
    assert found.threshold == 0.8
    assert found.synthetic
    assert "SYNTHETIC" in repr(found)
    assert any("SYNTHETIC" in text.get_text() for text in found.plot().texts)
    assert not any(name in repr(found) for name in cohort.index)


def test_seeds_repeat_and_options_are_checked():
    frame, y = people(120, 7)
    result = result_of(frame, y)
    quick = {"n_bootstrap": 50, "n_permutations": 20}
    one, two = (subgroups(result, "sex", **quick, random_state=3) for _ in range(2))
    pd.testing.assert_frame_equal(one.differences, two.differences)
    pd.testing.assert_frame_equal(one.gaps, two.gaps)
    with pytest.raises(MissingModalityError, match="'religion'"):
        subgroups(result, ["religion"])
    with pytest.raises(FormatError, match="make no groups"):
        subgroups(result, ["score"])
    with pytest.raises(FormatError, match="age_bands"):
        subgroups(result, ["age"], age_bands=(60, 50))
    with pytest.raises(FormatError, match="reference"):
        subgroups(result, "sex", reference="best")
    with pytest.raises(FormatError, match="CVResult"):
        subgroups(frame)
    with pytest.raises(FormatError, match="metric"):
        one.plot("colour")


def test_people_with_several_rows_stay_whole():
    cohort = pp.datasets.sample_tn(n_subjects=200, random_state=2).require("mvd_response")
    y = cohort.outcome("mvd_response")
    nerves = cohort.per_nerve()
    values = pd.Series(y.reindex(nerves.groups).to_numpy(), nerves.index)
    result = cross_validate(pp.evaluation.clinical_model(), nerves, values, baseline=None, cv=3)
    found = subgroups(result, ["sex"], n_bootstrap=50, n_permutations=20, min_events=1)
    assert found.table.loc[("all", "everybody"), "n"] == 2 * len(cohort)
    assert any("several rows" in note for note in found.warnings)
