"""Other sites: the table, the summary, what is flagged; and whether features tell the site."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from precisionpain.cohort import Cohort
from precisionpain.errors import FormatError, MissingModalityError
from precisionpain.evaluation import (
    ClinicalFeatures,
    LeaveSiteOut,
    SubjectKFold,
    clinical_model,
    cross_validate,
    leave_site_out,
    site_predictability,
)
from precisionpain.stats import delong, random_effects

FAST = {"baseline": None, "n_permutations": 2, "n_bootstrap": 20}


def people(sizes, seed=0, strength=1.5, prevalence=None):
    rng = np.random.default_rng(seed)
    site = np.repeat(list("ABCDEFGH")[: len(sizes)], sizes)
    n = len(site)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.normal(size=n), "site": site},
        pd.Index([f"s{i:04d}" for i in range(n)], name="subject_id"),
    )
    base = 0.0 if prevalence is None else logit(np.repeat(prevalence, sizes))
    y = pd.Series((rng.random(n) < expit(base + strength * frame["x"])).astype(float), frame.index)
    return Cohort(frame), y


# --- leave_site_out ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def four():
    cohort, y = people((90, 70, 60, 50))
    return cohort, y, leave_site_out(clinical_model(), cohort, y, name="ridge", **FAST)


def test_each_site_is_judged_by_a_model_of_the_others(four):
    cohort, y, found = four
    site = cohort.subjects["site"]
    for name, row in found.table.iterrows():
        mine = (site == name).to_numpy()
        model = clinical_model().fit(cohort[~mine], y[~mine])
        p = model.predict_proba(cohort[mine])[:, 1]
        expected = delong(y[mine], p, method="logit")
        assert row["auc"] == pytest.approx(roc_auc_score(y[mine], p))
        assert (row["ci_low"], row["ci_high"]) == (expected.ci_low, expected.ci_high)
        assert (row["n"], row["events"], row["n_train"]) == (
            mine.sum(), y[mine].sum(), (~mine).sum()
        )  # fmt: skip
        assert row["observed_expected"] == pytest.approx(y[mine].sum() / p.sum())
        assert row["slope_low"] < row["slope"] < row["slope_high"]
        assert row["flag"] == ""


def test_the_summary_is_that_of_the_logits(four):
    found = four[2]
    t = found.table
    expected = random_effects(logit(t["auc"]), t["se"] / (t["auc"] * (1 - t["auc"])))
    assert found.summary == expected
    assert found.auc["auc"] == pytest.approx(expit(expected.estimate))
    assert found.auc["prediction_low"] < found.auc["ci_low"] < found.auc["auc"]
    assert "all sites" in repr(found)


def test_same_folds_as_the_splitter(four):
    cohort, y, found = four
    again = cross_validate(clinical_model(), cohort, y, cv=LeaveSiteOut(), **FAST)
    assert found.cv.fold_key == again.fold_key
    np.testing.assert_array_equal(found.cv.predictions["p"], again.predictions["p"])


def test_rows_in_another_order_change_nothing(four):
    cohort, y, found = four
    order = np.random.default_rng(3).permutation(len(cohort))
    other = leave_site_out(clinical_model(), cohort[order], y.iloc[order], **FAST)
    pd.testing.assert_frame_equal(other.table, found.table, rtol=1e-5)


def test_sites_that_say_nothing_are_flagged_and_not_pooled():
    cohort, y = people((80, 70, 12, 10, 1), seed=2)
    site = cohort.subjects["site"]
    y[site == "C"] = 1.0
    y[site == "D"] = (np.arange(10) == 3).astype(float)  # one with the event
    found = leave_site_out(clinical_model(), cohort, y, **FAST)
    flags = found.table["flag"]
    assert flags["C"] == "one class only (12 of 12 with the event)"
    assert "no standard error" in flags["D"]
    assert "1 of the rarer class: no calibration" in flags["D"]
    assert "one class only" in flags["E"]
    assert found.table.index[found.table["pooled"]].tolist() == ["A", "B"]
    assert found.summary.k == 2
    assert np.isnan(found.table.loc[["C", "E"], "auc"]).all()
    assert "one class only" in repr(found)
    tested = leave_site_out(clinical_model(), cohort, y, min_people=20, **FAST)
    assert tested.table.index.tolist() == ["A", "B"]


def test_fewer_than_two_sites_with_an_auc_give_no_summary():
    cohort, y = people((80, 40))
    y[cohort.subjects["site"] == "B"] = 1.0
    y.iloc[-1] = 0.0  # so that B has both, but no standard error
    found = leave_site_out(clinical_model(), cohort, y, **FAST)
    assert found.summary is None
    with pytest.raises(MissingModalityError, match="fewer than two sites"):
        _ = found.auc
    assert "no summary" in repr(found)
    found.plot()


def test_differences_between_sites_are_seen():
    """The marker works at two sites and points the other way at a third."""
    cohort, y = people((300, 300, 300), strength=2)
    flipped = cohort.subjects["site"] == "C"
    y[flipped] = 1 - y[flipped]
    apart = leave_site_out(clinical_model(), cohort, y, **FAST).summary
    cohort, y = people((300, 300, 300), strength=2)
    alike = leave_site_out(clinical_model(), cohort, y, **FAST).summary
    assert apart.i2_low > 0.9
    assert apart.p_heterogeneity < 1e-6
    assert alike.i2 < 0.75
    assert apart.ci_high - apart.ci_low > 3 * (alike.ci_high - alike.ci_low)


def test_people_without_a_site_leave_with_a_line_in_the_flow():
    cohort, y = people((40, 40))
    frame = cohort.subjects
    frame.iloc[:3, frame.columns.get_loc("site")] = None
    found = leave_site_out(clinical_model(), Cohort(frame), y, **FAST)
    assert len(found.cv.y) == 77
    assert "3 excluded: no site" in str(found.cv.cohort.flow)
    arrays = leave_site_out(clinical_model(), Cohort(frame), y.to_numpy(), **FAST)
    pd.testing.assert_frame_equal(arrays.table, found.table)


def test_what_cannot_be_tested_is_refused():
    cohort, y = people((40,))
    with pytest.raises(FormatError, match="at least two sites"):
        leave_site_out(clinical_model(), cohort, y, **FAST)
    with pytest.raises(MissingModalityError, match="no column 'hospital'"):
        leave_site_out(clinical_model(), cohort, y, "hospital", **FAST)
    with pytest.raises(FormatError, match="expected a Cohort"):
        leave_site_out(clinical_model(), cohort.subjects, y)
    with pytest.raises(FormatError, match="cohort of nerves"):
        leave_site_out(clinical_model(), cohort.per_nerve(), np.repeat(y, 2))
    three, y = people((40, 30, 20))
    y = (three.subjects["site"] == "A").astype(float)
    with pytest.raises(FormatError, match="one class only"):
        leave_site_out(clinical_model(), three, y, **FAST)


def test_a_forest_of_the_sites(four):
    ax = four[2].plot()
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()]
    assert [name[0] for name in names[:4]] == list("ABCD")
    assert "random effects" in names[4]
    assert "prediction" in names[5]
    assert ax.get_title(loc="left") == "ridge: each site from the others"
    row = four[2].table.loc["B"]
    written = [text.get_text() for text in ax.texts]
    assert f"{row['auc']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})" in written


# --- site_predictability -------------------------------------------------------------------


class Shifted(TransformerMixin, BaseEstimator):
    """Five noise columns, moved and stretched by site."""

    def __init__(self, shift=0.0, scale=1.0, seed=0):
        self.shift, self.scale, self.seed = shift, scale, seed

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        site = X.subjects["site"].to_numpy()
        rows = [
            np.random.default_rng([self.seed, int(name[1:])]).normal(size=5) for name in X.index
        ]
        x = np.array(rows) * np.where(site == "B", self.scale, 1.0)[:, None]
        return pd.DataFrame(x + self.shift * (site == "C")[:, None], X.index, list("abcde"))


def test_location_and_scale_are_both_told():
    cohort, _ = people((60, 60, 60))
    found = site_predictability(
        {"none": Shifted(), "moved": Shifted(shift=1.0), "stretched": Shifted(scale=3.0)},
        cohort, n_permutations=99, n_bootstrap=100,
    )  # fmt: skip
    t = found.table
    assert t.loc["none", "p_value"] > 0.05
    assert abs(t.loc["none", "auc"] - 0.5) < 0.08
    assert (t.loc[["moved", "stretched"], "p_value"] == 0.01).all()
    assert found.by_site.loc["C", "moved"] > 0.9
    assert found.by_site.loc["B", "stretched"] > 0.9
    assert (t["ci_low"] < t["auc"]).all()
    assert (t["auc"] < t["ci_high"]).all()
    assert t.loc["moved", "balanced_accuracy"] > t.loc["none", "balanced_accuracy"] + 0.15
    assert t["chance"].tolist() == [pytest.approx(1 / 3)] * 3
    assert (t["n"] == 180).all()


def test_as_good_as_a_discriminant_of_another_library():
    cohort, _ = people((80, 80))
    moved = ClinicalFeatures(["x", "z"])
    frame = cohort.subjects
    frame.loc[frame["site"] == "B", "x"] += 1.0
    cohort = Cohort(frame)
    found = site_predictability(moved, cohort, n_permutations=19, n_bootstrap=50)
    codes = (frame["site"] == "B").to_numpy()
    score = np.zeros(160)
    x = frame[["x", "z"]].to_numpy()
    for train, test in SubjectKFold(5).split(cohort, codes.astype(int)):
        lda = LinearDiscriminantAnalysis().fit(x[train], codes[train])
        score[test] = lda.decision_function(x[test])
    assert found.table["auc"].iloc[0] == pytest.approx(roc_auc_score(codes, score), abs=0.04)


def test_under_no_difference_p_values_are_uniform_enough():
    cohort, _ = people((40, 30, 20))
    p = np.array([
        site_predictability(Shifted(seed=s), cohort, n_permutations=39, n_bootstrap=2)
        .table["p_value"].iloc[0]
        for s in range(60)
    ])  # fmt: skip
    assert np.mean(p <= 0.1) < 0.22  # binomial with 60 draws: 0.22 has p = 0.003
    assert 0.35 < p.mean() < 0.65


def test_who_has_none_of_the_features_is_left_out_and_gaps_are_not():
    cohort, _ = people((30, 30))

    class Gappy(Shifted):
        def transform(self, X):
            frame = super().transform(X)
            frame.loc[frame.index.isin(["s0003", "s0040"])] = np.nan
            frame.loc[frame.index.isin(["s0005"]), "a"] = np.nan
            return frame

    found = site_predictability(Gappy(shift=1), cohort, n_permutations=9, n_bootstrap=9)
    assert found.table["n"].iloc[0] == 58


def test_site_checks_refuse_what_they_cannot_do():
    cohort, _ = people((30, 3))
    with pytest.raises(FormatError, match=r"fewer people than the 5 folds: 'B \(3\)'"):
        site_predictability(Shifted(), cohort)
    with pytest.raises(FormatError, match="FeatureBlock"):
        site_predictability("mri", cohort)
    with pytest.raises(MissingModalityError, match="no column 'scanner'"):
        site_predictability(Shifted(), cohort, site="scanner")
    one, _ = people((30,))
    with pytest.raises(FormatError, match="no two sites"):
        site_predictability(Shifted(), one)


def test_a_figure_of_before_and_after():
    cohort, _ = people((30, 30))
    found = site_predictability(
        {"before": Shifted(shift=2), "after": Shifted()}, cohort, n_permutations=9, n_bootstrap=9
    )
    names = [tick.get_text() for tick in found.plot().get_yticklabels()]
    assert names[0] == "before (n = 60)"
    assert len(names) == 4
    assert "before" in repr(found)
