"""The audit, against the published tables of one study and against brute force."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, mannwhitneyu, ttest_ind, ttest_ind_from_stats
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from precisionpain.errors import FormatError
from precisionpain.evaluation import audit_groups, audit_table
from precisionpain.evaluation._audit.chance import auc_se, auc_se_bound, best_fold, people_needed
from precisionpain.evaluation._audit.confusion import all_matrices, measures
from precisionpain.evaluation._audit.group_tests import rank_sum_p
from precisionpain.evaluation._audit.groups import total_sd

# Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587, Tables 1 to 4.
SCORES = """row,kind,stratified,accuracy,precision,recall,f1,auc
axial best,best fold,,.69,.56,.83,.67,.78
axial,,,.59,.50,.36,.39,.56
coronal,,,.45,.12,.23,.15,.47
sagittal,,,.50,.24,.20,.21,.39
axial 2 mm,,1,.59,.56,.36,.41,.55
axial 1 mm,,1,.53,.44,.25,.29,.50
seed 53,,,.63,.65,.42,.48,.59
seed 123,,,.57,.42,.15,.21,.54
class weight,,,.48,.43,.54,.43,.57
augmentation,,,.52,.38,.20,.24,.57
majority vote,,,.54,.36,.20,.36,.46
mean probability,,,.55,.46,.31,.41,.48
resnet10,,,.52,.19,.11,.14,.52
resnet34,,,.59,.49,.23,.30,.60
resnet50,,,.55,.39,.39,.35,.57
forest,,,.68,.60,.72,.63,.77
xgboost,,,.68,.69,.78,.71,.70
forest stratified,,1,.70,.67,.69,.66,.80
xgboost stratified,,1,.68,.71,.78,.74,.73
"""
GROUPS = """row,mean_1,sd_1,mean_2,sd_2,mean_total,sd_total,p,w,test,counts_1,counts_2,counts_total
patients,,,,,,,.112,,sizes,,,
age,36.9,12.0,36.4,11.2,36.6,11.5,.874,,rank sum,,,
sex,,,,,,,.471,,,27/28,30/43,57/71
head,48.2,28.5,37.5,25.2,42.1,27.1,.035,2446.5,,,,
neck,60.5,25.4,43.8,28.0,51.0,28.1,.001,2682,,,,
max,63.7,25.1,51.3,25.7,56.6,26.1,.007,2570.5,,,,
head 12,50.5,31.7,2.3,6.1,23.0,32.0,<.001,3558.5,,,,
neck 12,48.5,27.8,1.95,5.5,21.9,29.7,<.001,3700.5,,,,
max 12,63.0,20.9,3.4,7.5,29.0,33.1,<.001,4015,,,,
"""
STUDY = {"n": 128, "n_positive": 55, "folds": 8}


@pytest.fixture(scope="module")
def scores():
    return audit_table(pd.read_csv(io.StringIO(SCORES)).set_index("row"), **STUDY)


@pytest.fixture(scope="module")
def groups():
    return audit_groups(pd.read_csv(io.StringIO(GROUPS), dtype=str), n=(55, 73))


def rows_with(audit, check, severity):
    found = audit.findings
    return set(found.loc[(found["check"] == check) & (found["severity"] == severity), "row"])


# The published tables


def test_the_best_fold_is_one_confusion_matrix(scores):
    assert scores.implied("axial best", "confusion")["matrices"] == [
        {"tp": 5, "fp": 4, "fn": 1, "tn": 6}
    ]


def test_chance_explains_the_best_fold(scores):
    found = scores.implied("axial best", "best fold")
    assert found["auc"] == pytest.approx(47 / 60)
    assert found["mean"] == pytest.approx(0.72, abs=0.005)
    assert found["p"] == pytest.approx(0.25, abs=0.02)
    assert rows_with(scores, "best fold", "warning") == {"axial best"}


def test_the_auc_of_the_study_can_be_chance(scores):
    found = scores.implied("axial", "interval")
    assert round(found["low"], 2) == 0.46
    assert round(found["high"], 2) == 0.66
    assert scores.implied("axial", "power")["n"] == pytest.approx(742, abs=2)


def test_both_ensembles_have_too_high_an_f1_and_no_other_row_has(scores):
    ensembles = {"majority vote", "mean probability"}
    assert rows_with(scores, "f1", "error") == ensembles
    text = " ".join(scores.errors["message"])
    assert text.count("even their arithmetic mean is only") == 2
    # The third is found by enumeration only; `test_no_folds_of_xgboost` proves it anew.
    assert rows_with(scores, "folds", "error") == {*ensembles, "xgboost stratified"}
    assert not scores.ok


def test_the_precision_of_xgboost_fits_the_other_class(scores):
    assert rows_with(scores, "swapped classes", "warning") == {"xgboost", "xgboost stratified"}


def test_a_row_below_the_larger_class_is_named(scores):
    # 73 of 128 recovered: 0.570.
    low = {"coronal", "sagittal", "axial 1 mm", "class weight", "augmentation", "majority vote",
           "mean probability", "resnet10", "resnet50"}  # fmt: skip
    assert rows_with(scores, "majority", "warning") == low


def test_examples_of_folds_have_the_printed_means(scores):
    table = pd.read_csv(io.StringIO(SCORES)).set_index("row")
    seen = 0
    for row in table.index[1:]:
        found = scores.implied(row, "folds")
        if found["state"] != "possible":
            continue
        seen += 1
        counts = found["example"].to_numpy()
        tp, fp, fn, tn = counts.T
        assert (counts.sum(axis=1) == 16).all()
        assert len(counts) == 8
        assert (tp + fn).sum() == 55
        means = {
            "accuracy": (tp + tn) / 16,
            "precision": tp / np.maximum(tp + fp, 1),
            "recall": tp / np.maximum(tp + fn, 1),
            "f1": 2 * tp / np.maximum(2 * tp + fp + fn, 1),
        }
        for name, values in means.items():
            assert abs(values.mean() - table.loc[row, name]) <= 0.005 + 1e-9
        low, high = found["accuracy"]
        assert low - 1e-6 <= means["accuracy"].mean() <= high + 1e-6
    assert seen == 15


def test_no_folds_of_xgboost():
    """The greatest mean F1 at each accuracy and recall, by dynamic programming."""
    # Errors so far, recall so far in 1/42 → the greatest sum of F1.
    best = {(0, 0): 0.0}
    for m in [7] * 7 + [6]:
        after: dict[tuple[int, int], float] = {}
        for tp, fp in itertools.product(range(m + 1), range(16 - m + 1)):
            errors = fp + m - tp
            f1 = 2 * tp / (2 * tp + errors)
            for (e, r), total in best.items():
                key = (e + errors, r + tp * 42 // m)
                after[key] = max(after.get(key, 0.0), total + f1)
        best = after
    fitting = [
        total / 8
        for (errors, recall), total in best.items()
        if 0.675 <= 1 - errors / 128 <= 0.685 and 0.775 <= recall / 42 / 8 <= 0.785
    ]
    assert fitting
    assert max(fitting) < 0.735


def test_table_and_text_differ():
    # The text gives another accuracy and AUC for the axial plane at 1 mm.
    rows = [
        {"row": "axial 1 mm", "accuracy": 0.53, "auc": "0.5"},
        {"row": "axial 1 mm", "accuracy": 0.56, "auc": 0.52},
        {"row": "axial 2 mm", "accuracy": 0.59},
    ]
    found = audit_table(rows).errors
    # "0.5" has one digit, so that it stands for 0.45 to 0.55.
    assert found["row"].tolist() == ["axial 1 mm"]
    assert found["message"].tolist() == ["accuracy is printed as 0.53 and as 0.56"]


def test_w_is_an_auc_and_p_reproduces(groups):
    areas = {row: groups.implied(row, "rank sum")["auc"] for row in ("head", "neck", "max")}
    assert {row: round(area, 3) for row, area in areas.items()} == {
        "head": 0.609, "neck": 0.668, "max": 0.640,
    }  # fmt: skip
    rows = {"head", "neck", "max", "head 12", "neck 12", "max 12", "age"}
    assert rows_with(groups, "rank sum", "note") == rows
    assert groups.implied("age", "rank sum")["w"] == pytest.approx(2041, abs=2)


def test_the_outcome_is_recognised_among_the_variables(groups):
    assert rows_with(groups, "definition", "warning") == {"max 12"}


def test_totals_follow_from_the_groups(groups):
    assert groups.ok
    assert rows_with(groups, "total", "note") >= {"neck 12"}
    assert round(groups.implied("neck 12", "total")["value"], 2) == 21.95
    wrong = {"row": "neck 12", "mean_1": 48.5, "mean_2": 1.95, "mean_total": 21.8}
    assert rows_with(audit_groups([wrong], n=(55, 73)), "total", "error") == {"neck 12"}


def test_chi_squares_reproduce(groups):
    assert groups.implied("sex", "chi-square")["agrees"] == ["Yates-corrected χ²"]
    assert groups.implied("patients", "chi-square")["agrees"] == ["goodness of fit"]


# Brute force


@settings(max_examples=60)
@given(st.tuples(*[st.integers(0, 6)] * 4).filter(lambda c: sum(c) >= 2), st.booleans())
def test_the_true_matrix_is_always_among_those_found(counts, positives_known):
    """And so is every other one that an independent search finds."""
    tp, fp, fn, tn = counts
    if not (tp + fn and fp + tn):
        return
    y = np.repeat([1, 0, 1, 0], counts)
    guess = np.repeat([1, 1, 0, 0], counts)
    printed = {
        name: round(float(score(y, guess, **more)), 2)
        for name, score, more in (
            ("accuracy", accuracy_score, {}),
            ("precision", precision_score, {"zero_division": 0}),
            ("recall", recall_score, {}),
            ("f1", f1_score, {"zero_division": 0}),
        )
    }
    n = sum(counts)
    expected = set()
    for a, b, c in itertools.product(range(n + 1), repeat=3):
        d = n - a - b - c
        if d < 0 or (positives_known and a + c != tp + fn):
            continue
        exact = {
            "accuracy": (a + d) / n,
            "precision": a / (a + b) if a + b else 0,
            "recall": a / (a + c) if a + c else 0,
            "f1": 2 * a / (2 * a + b + c) if a + b + c else 0,
        }
        if all(abs(exact[name] - printed[name]) <= 0.005 + 2e-9 for name in exact):
            expected.add((a, b, c, d))
    row = {"row": "x", "kind": "pooled", "n": n, **printed}
    audit = audit_table([row | ({"n_positive": tp + fn} if positives_known else {})])
    found = {tuple(m.values()) for m in audit.implied("x", "confusion")["matrices"]}
    assert found == expected
    assert counts in found
    assert audit.ok


def test_no_matrix():
    # Of 10 people an accuracy of 0.75 can't be.
    row = {"row": "x", "accuracy": 0.75, "recall": 0.50}
    audit = audit_table([row], n=10, mean_of_folds=False)
    assert rows_with(audit, "confusion", "error") == {"x"}


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_true_studies_are_never_called_impossible(seed):
    """Whatever a classifier does in the folds, the audit finds no contradiction."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([1, 0], [11, 13]))
    score = y * rng.uniform(0, 2) + rng.standard_normal(24) + rng.uniform(-1, 1)
    parts = np.split(np.arange(24), 3)
    if any(np.ptp(y[part]) == 0 for part in parts):
        return
    of_fold = [
        (
            accuracy_score(y[part], score[part] > 0.5),
            precision_score(y[part], score[part] > 0.5, zero_division=0),
            recall_score(y[part], score[part] > 0.5),
            f1_score(y[part], score[part] > 0.5),
            roc_auc_score(y[part], score[part]),
        )
        for part in parts
    ]
    names = ("accuracy", "precision", "recall", "f1", "auc")
    row = dict(zip(names, np.round(np.mean(of_fold, axis=0), 2), strict=True))
    audit = audit_table([row], n=24, n_positive=11, folds=3)
    assert audit.ok
    assert audit.implied("1", "folds")["state"] in ("possible", "undecided")


def test_mean_f1_bound_is_reached_but_never_passed():
    """Over random folds, and with equality where they are alike."""
    rng = np.random.default_rng(0)
    p, r = rng.random((2, 5000, 4))
    f1 = (2 * p * r / (p + r)).mean(axis=1)
    p, r = p.mean(axis=1), r.mean(axis=1)
    assert (f1 <= 2 * p * r / (p + r) + 1e-12).all()
    assert (f1 >= p + r - 1).all()
    alike = {"precision": 0.36, "recall": 0.20, "f1": 0.26}
    assert audit_table([alike]).ok
    assert not audit_table([alike | {"f1": 0.27}]).ok
    assert not audit_table([{"precision": 0.95, "recall": 0.95, "f1": 0.85}]).ok


def test_pooled_f1_and_accuracy_are_determined():
    # TP 30, FP 10, FN 20, TN 40: accuracy 0.70, precision 0.75, recall 0.60, F1 0.67.
    right = {"row": "x", "accuracy": 0.70, "precision": 0.75, "recall": 0.60, "f1": 0.67}
    options = {"n": 100, "n_positive": 50, "mean_of_folds": False}
    assert audit_table([right], **options).ok
    assert rows_with(audit_table([right | {"f1": 0.65}], **options), "f1", "error") == {"x"}
    wrong = audit_table([right | {"accuracy": 0.75}], **options)
    assert rows_with(wrong, "accuracy", "error") == {"x"}
    assert wrong.implied("x", "accuracy")["accuracy"] == pytest.approx(0.70)
    # Half of 90 people found with precision 0.10 would be 405 false alarms.
    many = {"row": "x", "precision": 0.10, "recall": 0.50}
    many = audit_table([many], n=100, n_positive=90, mean_of_folds=False)
    assert rows_with(many, "accuracy", "error") == {"x"}


def test_the_auc_lies_where_the_roc_curve_allows():
    rng = np.random.default_rng(3)
    for _ in range(200):
        y = rng.permutation(np.repeat([0, 1], [6, 5]))
        score = rng.standard_normal(11)
        guess = score > rng.standard_normal()
        counts = [(guess & (y == 1)).sum(), (guess & (y == 0)).sum(),
                  (~guess & (y == 1)).sum(), (~guess & (y == 0)).sum()]  # fmt: skip
        low, high = measures(np.array([counts]))["auc"]
        assert low[0] - 1e-12 <= roc_auc_score(y, score) <= high[0] + 1e-12


def test_every_matrix_is_listed_once():
    matrices = all_matrices(9)
    assert len(np.unique(matrices, axis=0)) == len(matrices) == 220  # 12 choose 3
    assert (matrices.sum(axis=1) == 9).all()


@pytest.mark.parametrize("positives", [None, [7, 6, 7]])
def test_best_fold_by_simulation(positives):
    rng = np.random.default_rng(7)
    sizes, total = [14, 14, 13], 20
    best = []
    for _ in range(20_000):
        if positives is None:
            y = rng.permutation(np.repeat([1, 0], [total, sum(sizes) - total]))
        else:
            y = np.concatenate(
                [np.repeat([1, 0], [m, s - m]) for m, s in zip(positives, sizes, strict=True)]
            )
        areas, start = [], 0
        ranks = rng.random(len(y))
        for size in sizes:
            part = slice(start, start + size)
            start += size
            m = int(y[part].sum())
            order = ranks[part].argsort().argsort() + 1
            areas.append((order[y[part] == 1].sum() - m * (m + 1) / 2) / max(m * (size - m), 1))
        best.append(max(areas))
    null = best_fold(0.7, sizes, total, positives=positives)
    assert null.mean == pytest.approx(np.mean(best), abs=0.004)
    assert null.p_value == pytest.approx(np.mean(np.array(best) >= 0.7 - 1e-9), abs=0.015)


def test_best_of_one_fold_is_the_rank_sum_test():
    x, y = np.array([1.5, 3.0, 4.0, 7.0]), np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    expected = mannwhitneyu(x, y, alternative="greater", method="exact")
    null = best_fold(expected.statistic / 20, [9], 4)
    assert null.p_value == pytest.approx(expected.pvalue)
    assert null.mean == pytest.approx(0.5, abs=1e-3)


def test_hanley_mcneil_is_exact_for_exponential_scores():
    rng = np.random.default_rng(1)
    # Rates 1 and 2: the AUC is 2/3.
    x, y = rng.exponential(1, (4000, 20)), rng.exponential(0.5, (4000, 30))
    areas = (x[:, :, None] > y[:, None, :]).mean(axis=(1, 2))
    assert auc_se(2 / 3, 20, 30) == pytest.approx(areas.std(), rel=0.04)
    assert auc_se_bound(2 / 3, 20, 30) > areas.std()


def test_the_widest_interval_is_reached():
    # All with the event score alike at one of two places around everybody else.
    rng = np.random.default_rng(2)
    m, n, share = 10, 40, 0.7
    areas = rng.binomial(m, share, 20_000) / m
    assert auc_se_bound(share, m, n) == pytest.approx(areas.std(), rel=0.03)


def test_people_needed_have_the_power():
    # Normal scores: AUC 0.65 is a shift of 0.545 standard deviations.
    n = people_needed(0.65, 0.4)
    m = round(0.4 * n)
    rng = np.random.default_rng(5)
    shift = 0.5449
    p = [mannwhitneyu(rng.normal(shift, 1, m), rng.normal(0, 1, n - m)).pvalue for _ in range(800)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.8, abs=0.05)


# Two groups


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([(6, 9), (60, 55)]), st.booleans())
def test_true_comparisons_agree(seed, sizes, ties):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.3, 1, sizes[0]), rng.normal(0, 1.5, sizes[1])
    if ties:
        x, y = np.round(10 * x), np.round(10 * y)
    test = mannwhitneyu(x, y)
    equal = bool(rng.integers(2))
    t = ttest_ind(x, y, equal_var=equal)
    both = np.concatenate([x, y])
    moments = {
        "mean_1": f"{x.mean():.2f}", "sd_1": f"{x.std(ddof=1):.2f}",
        "mean_2": f"{y.mean():.2f}", "sd_2": f"{y.std(ddof=1):.2f}",
        "mean_total": f"{both.mean():.2f}", "sd_total": f"{both.std(ddof=1):.2f}",
    }  # fmt: skip
    audit = audit_groups(
        [
            {"row": "w", "w": test.statistic, "p": f"{test.pvalue:.3f}", **moments},
            {"row": "t", "t": f"{t.statistic:.2f}", "p": f"{t.pvalue:.3f}", **moments}
            | {"test": "t" if equal else "welch", "whole": ties},
        ],
        n=sizes,
    )
    assert audit.ok


def test_wrong_comparisons_are_found():
    low, high = rank_sum_p(2446.5, 55, 73)
    assert low < 0.0348 <= high + 1e-4
    audit = audit_groups(
        [
            {"row": "p too high", "w": 2446.5, "p": ".072"},
            {"row": "p too low", "w": 2446.5, "p": ".012"},
            {"row": "sum of ranks", "w": 5000},
            {"row": "counts", "counts_1": (27, 27), "counts_2": (30, 43)},
            {"row": "p of counts", "counts_1": (27, 28), "counts_2": "30/43", "p": 0.300},
        ],
        n=(55, 73),
    )
    severity = dict(zip(audit.findings["row"], audit.findings["severity"], strict=True))
    assert severity == {
        "p too high": "error", "p too low": "warning", "sum of ranks": "error",
        "counts": "error", "p of counts": "error",
    }  # fmt: skip
    ratio = audit.implied("p too low", "rank sum")["sd_ratio"]
    assert 0.8 < ratio < 0.9
    exact = audit.implied("p of counts", "chi-square")["p"]
    plain = chi2_contingency([[27, 28], [30, 43]], correction=False).pvalue
    assert exact["χ²"] == pytest.approx(plain)


def test_means_of_whole_numbers():
    # Of 19 whole numbers 3.45 isn't a mean: 65/19 = 3.42, 66/19 = 3.47.
    row = {"row": "items", "mean_1": "3.45", "mean_2": "3.50", "whole": True}
    audit = audit_groups([row], n=(19, 20))
    assert rows_with(audit, "whole numbers", "error") == {"items"}
    assert audit.implied("items", "whole numbers")["nearest"] == (3.421, 3.474)
    assert audit_groups([row | {"whole": False}], n=(19, 20)).ok


def test_t_from_means_and_sds():
    t, p = ttest_ind_from_stats(60.5, 25.4, 55, 43.8, 28.0, 73, equal_var=False)
    row = {"row": "neck", "mean_1": 60.5, "sd_1": 25.4, "mean_2": 43.8, "sd_2": 28.0}
    right = row | {"t": f"{t:.2f}", "p": f"{p:.4f}", "test": "welch"}
    assert audit_groups([right], n=(55, 73)).ok
    assert not audit_groups([right | {"t": "3.90"}], n=(55, 73)).ok
    assert not audit_groups([right | {"p": ".010"}], n=(55, 73)).ok


def test_total_sd_is_that_of_everybody():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 2, 7), rng.normal(5, 1, 11)
    found = total_sd(x.mean(), y.mean(), x.std(ddof=1), y.std(ddof=1), 7, 11)
    assert found == pytest.approx(np.concatenate([x, y]).std(ddof=1))


# What comes in


def test_impossible_values():
    audit = audit_table([{"accuracy": 69, "auc": -0.2}, {"recall": 1.0}], n=128, n_positive=55)
    assert audit.errors["message"].tolist() == [
        "accuracy lies between 0 and 1, printed 69.00; per cent? divide by 100",
        "auc lies between 0 and 1, printed -0.20",
    ]


def test_rows_are_named_by_column_index_or_number():
    frame = pd.DataFrame({"auc": [7, 8]}, index=["a", "b"])
    assert audit_table(frame).errors["row"].tolist() == ["a", "b"]
    assert audit_table(frame.assign(row=["c", "d"])).errors["row"].tolist() == ["c", "d"]
    assert audit_table(frame.to_dict("records")).errors["row"].tolist() == ["1", "2"]


def test_nothing_found_says_so():
    audit = audit_table([{"auc": 0.7}])
    assert audit.ok
    assert str(audit) == "nothing found"
    assert repr(audit) == "Audit(1 row: 0 errors, 0 warnings, 0 notes)"
    assert audit.implied("1", "f1") == {}


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([{"acuracy": 0.7}], {}, "unknown columns 'acuracy'"),
        ([], {}, "at least one row"),
        ([{"auc": "high"}], {}, "expected a number, found 'high'"),
        ([{"auc": 0.7, "kind": "best"}], {}, "kind is 'pooled', 'mean of folds', 'best fold'"),
        ([{"auc": 0.7}], {"n": 10, "n_positive": 10}, "10 of 10 people have the event"),
        ([{"auc": 0.7}], {"n": 10.5}, "expected a whole number"),
        ([{"auc": 0.7}], {"n": 10, "folds": 11}, "11 folds of 10 people"),
    ],
)
def test_errors_of_tables(rows, options, words):
    with pytest.raises(FormatError, match=words):
        audit_table(rows, **options)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"p": "1.2"}, "a p-value lies between 0 and 1"),
        ({"test": "anova"}, "test is rank sum, t, welch"),
        ({"counts_1": "many", "counts_2": (1, 2)}, "expected counts such as '27/28'"),
        ({"counts_1": (5, 5), "counts_2": (2, 3, 5)}, "2 and 3 levels"),
    ],
)
def test_errors_of_groups(row, words):
    with pytest.raises(FormatError, match=words):
        audit_groups([row], n=(10, 10))
