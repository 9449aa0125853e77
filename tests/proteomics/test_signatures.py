"""Overlap of signatures: enumerated chance, the universe that was assayed, and rankings."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import compare_signatures, rank_overlap, signature_overlap

NAMES = [f"P{i}" for i in range(8)]


def result(p, log_fc=None, names=None, **columns):
    p = np.asarray(p, float)
    names = [f"P{i}" for i in range(len(p))] if names is None else names
    log_fc = np.ones(len(p)) if log_fc is None else log_fc
    return pd.DataFrame({"log_fc": log_fc, "p_value": p, "q_value": p, **columns}, index=names)


def test_chance_is_enumerated():
    first, second = set(NAMES[:4]), set(NAMES[2:5])
    row = signature_overlap(first, second, universe=NAMES).loc["any"]
    draws = [len(first & set(draw)) for draw in itertools.combinations(NAMES, len(second))]
    assert row["p_more"] == pytest.approx(np.mean([k >= 2 for k in draws]))
    assert row["p_less"] == pytest.approx(np.mean([k <= 2 for k in draws]))
    assert row["expected"] == pytest.approx(np.mean(draws))
    assert row["shared"] == ["P2", "P3"]
    assert row["jaccard"] == pytest.approx(2 / 5)


def test_fisher_agrees():
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.2, rng.random(300) < 0.3
    table = signature_overlap(result(np.where(a, 0.01, 0.5)), result(np.where(b, 0.01, 0.5)))
    counts = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert table.loc["any", "p_more"] == pytest.approx(
        stats.fisher_exact(counts, alternative="greater").pvalue
    )
    assert table.loc["any", "p_less"] == pytest.approx(
        stats.fisher_exact(counts, alternative="less").pvalue
    )
    assert table.loc["any", "ci_low"] < table.loc["any", "odds_ratio"]


def test_the_universe_is_what_both_assayed_not_the_genome():
    # Of 60 proteins in both assays, 30 and 30 are changed and 15 shared: exactly chance.
    both = [f"P{i}" for i in range(60)]
    first = result([0.01] * 30 + [0.9] * 30 + [0.01] * 500,
                   names=both + [f"A{i}" for i in range(500)])  # fmt: skip
    second = result(([0.01] * 15 + [0.9] * 15) * 2 + [0.9] * 700,
                    names=both + [f"B{i}" for i in range(700)])  # fmt: skip
    row = signature_overlap(first, second).loc["any"]
    assert row[["n_universe", "n_first", "n_second", "n_shared"]].tolist() == [60, 30, 30, 15]
    assert row["ratio"] == 1
    assert row["p_more"] > 0.5
    # A genome for a universe would call it overwhelming.
    genome = both + [f"G{i}" for i in range(20_000)]
    wrong = signature_overlap(both[:30], both[:15] + both[30:45], universe=genome).loc["any"]
    assert wrong["p_more"] < 1e-15


def test_untestable_proteins_are_not_in_the_universe():
    first = result([0.01, 0.5, np.nan, 0.01])
    second = result([0.01, 0.5, 0.01, np.nan])
    assert signature_overlap(first, second).loc["any", "n_universe"] == 2


def test_directions_are_told_apart():
    p = [0.01] * 6 + [0.9] * 4
    first = result(p, [1, 1, 1, -1, -1, -1, 1, 1, 1, 1])
    second = result(p, [1, 1, -1, -1, -1, 1, 1, 1, 1, 1])
    table = signature_overlap(first, second)
    assert table["n_shared"].tolist() == [6, 2, 2, 2]
    assert table.loc["opposite", "shared"] == ["P2", "P5"]
    assert table.loc["up", ["n_first", "n_second"]].tolist() == [3, 3]
    assert table.loc["opposite", "expected"] == pytest.approx((3 * 3 + 3 * 3) / 10)


def test_order_of_rows_and_of_arguments_changes_nothing():
    rng = np.random.default_rng(1)
    one, two = result(rng.random(50)), result(rng.random(50))
    table = signature_overlap(one, two, threshold=0.3)
    again = signature_overlap(two[::-1], one.sample(frac=1, random_state=0), threshold=0.3)
    assert table.loc["any", "p_more"] == pytest.approx(again.loc["any", "p_more"])
    assert set(table.loc["any", "shared"]) == set(again.loc["any", "shared"])


def test_assays_of_different_products_meet_by_accession():
    first = result([0.01, 0.8, 0.01], names=["OID1", "OID2", "OID3"],
                   uniprot=["P1,P2", "P3", "P1"])  # fmt: skip
    second = result([0.01, 0.7], names=["x", "y"], uniprot=["P1;P9", "P3"])
    row = signature_overlap(first, second, key="uniprot").loc["any"]
    assert row[["n_universe", "n_first", "n_shared"]].tolist() == [2, 1, 1]
    with pytest.raises(FormatError, match="assayed in both"):
        signature_overlap(first, second)


def test_bad_signatures():
    with pytest.raises(FormatError, match="universe"):
        signature_overlap(["A"], ["B"])
    with pytest.raises(AlignmentError, match="aren't in the universe: 'Z'"):
        signature_overlap(["Z"], ["A"], universe=["A", "B"])
    with pytest.raises(FormatError, match="one of each"):
        signature_overlap(result([0.1]), ["P0"], universe=["P0"])
    with pytest.raises(FormatError, match="'q_value'"):
        signature_overlap(result([0.1]).drop(columns="q_value"), result([0.1]))


def test_empty_signatures_are_no_evidence():
    row = signature_overlap([], ["A"], universe=["A", "B"]).loc["any"]
    assert row["p_more"] == 1
    assert np.isnan(row["odds_ratio"])


def test_every_cell_of_the_map_is_a_hypergeometric_tail():
    rng = np.random.default_rng(4)
    names = [f"P{i}" for i in range(60)]
    one, two = pd.Series(rng.normal(size=60), names), pd.Series(rng.normal(size=60), names)
    found = rank_overlap(one, two[::-1], n_steps=5, n_permutations=2, random_state=0)
    for i in found.map.index:
        for j in found.map.columns:
            k = len(set(one.nlargest(i).index) & set(two.nlargest(j).index))
            more = stats.hypergeom.sf(k - 1, 60, i, j)
            less = stats.hypergeom.cdf(k, 60, i, j)
            expected = -np.log10(more) if k >= i * j / 60 else np.log10(less)
            assert found.map.loc[i, j] == pytest.approx(expected, abs=1e-8)
    assert found.spearman == pytest.approx(stats.spearmanr(one, two).statistic)


def test_permutation_p_is_uniform_without_a_relation():
    rng = np.random.default_rng(6)
    names = [f"P{i}" for i in range(80)]
    p = [
        rank_overlap(
            pd.Series(rng.normal(size=80), names), pd.Series(rng.normal(size=80), names),
            n_steps=6, n_permutations=39, random_state=rng,
        ).p_value
        for _ in range(60)
    ]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) < 0.13
    assert stats.kstest(p, "uniform").statistic < 0.2


def test_opposite_rankings_give_a_negative_peak():
    t = pd.Series(np.arange(50.0), [f"P{i}" for i in range(50)])
    found = rank_overlap(t, -t, n_permutations=99, random_state=0)
    assert found.map.to_numpy()[np.abs(found.map.to_numpy()).argmax() // 20].min() < 0
    assert found.p_value == pytest.approx(0.01)


def test_permuted_people_keep_correlated_proteins_honest():
    # Ten modules of twenty copies: shuffling proteins calls chance significant far too often.
    rng = np.random.default_rng(9)
    names = [f"P{i}" for i in range(200)]
    shuffled, honest = [], []
    for _ in range(25):
        one = pd.Series(np.repeat(rng.normal(size=10), 20) + 0.1 * rng.normal(size=200), names)
        two = pd.Series(np.repeat(rng.normal(size=10), 20) + 0.1 * rng.normal(size=200), names)
        null = np.repeat(rng.normal(size=(39, 10)), 20, axis=1) + 0.1 * rng.normal(size=(39, 200))
        options = {"n_steps": 6, "n_permutations": 39, "random_state": rng}
        shuffled.append(rank_overlap(one, two, **options).p_value)
        honest.append(rank_overlap(one, two, permuted=null, **options).p_value)
    assert np.mean(np.array(shuffled) <= 0.05) > 0.4
    assert np.mean(np.array(honest) <= 0.05) < 0.25


def test_bad_rankings():
    t = pd.Series(np.arange(5.0))
    with pytest.raises(FormatError, match="at least 10"):
        rank_overlap(t, t)
    t = pd.Series(np.arange(20.0), [f"P{i}" for i in range(20)])
    with pytest.raises(FormatError, match="expected 20 columns"):
        rank_overlap(t, t, permuted=np.zeros((3, 4)))


def test_specific_needs_a_difference_between_the_diseases():
    names = ["tn", "ms", "both", "flip", "vague", "none"]
    tn = result([1e-6, 0.9, 1e-6, 1e-6, 1e-4, 0.8], [1, 0, 1, 1, 0.5, 0], names)
    ms = result([0.9, 1e-6, 1e-6, 1e-6, 0.2, 0.8], [0, 1, 1, -1, 0.3, 0], names)
    between = result([1e-6, 1e-6, 0.9, 1e-6, 0.6, 0.8], [1, -1, 0, 2, 0.2, 0], names)
    table = compare_signatures(tn, ms, between[::-1])
    assert table["class"].to_dict() == {
        "tn": "TN only", "ms": "MS only", "both": "shared", "flip": "opposite",
        "vague": "undecided", "none": "neither",
    }  # fmt: skip
    assert table.loc["flip", "log_fc_between"] == 2


def test_comparing_uses_what_all_three_tested():
    one = result([1e-6, 0.5, 0.01])
    two = result([np.nan, 0.5, 0.01])
    assert compare_signatures(one, two, one).index.tolist() == ["P1", "P2"]
    with pytest.raises(FormatError, match="'p_value'"):
        compare_signatures(one, two.drop(columns="p_value"), one)
