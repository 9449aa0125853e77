"""Factors, mixtures, consensus and networks, each against what is known of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from precisionpain.fusion._subtypes.consensus import consensus_groups, resample
from precisionpain.fusion._subtypes.factors import Factors, fit_factors, what_is_known
from precisionpain.fusion._subtypes.marks import association
from precisionpain.fusion._subtypes.mixture import Mixture, fit_mixture, mixture_of
from precisionpain.fusion._subtypes.networks import fuse_networks, network, network_groups
from precisionpain.fusion._subtypes.one_cluster import _with_margins, compare_with_one_cluster

MASK = np.repeat(np.eye(2, dtype=bool), 4, axis=0)
BLOCK = np.array(["a", "a", "b", "b"] * 2)
TRUE = Factors(
    MASK * np.array([0.9, 0.8, 0.7, 0.6, 0.8, -0.8, 0.7, 0.6])[:, None],
    1 - np.array([0.9, 0.8, 0.7, 0.6, 0.8, 0.8, 0.7, 0.6]) ** 2,
)


def drawn(n: int, seed: int, z: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the true model; a third of the people lack block b."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 2)) if z is None else z
    x = z @ TRUE.loadings.T + rng.standard_normal((n, 8)) * np.sqrt(TRUE.noise)
    x[np.ix_(rng.random(n) < 1 / 3, BLOCK == "b")] = np.nan
    return x, z


def test_loadings_are_recovered_although_people_lack_a_block():
    x, _ = drawn(3000, 0)
    fitted = fit_factors(x, MASK, BLOCK, iterations=300, tolerance=1e-5)
    # A factor has no sign of its own.
    sign = np.sign((fitted.loadings * TRUE.loadings).sum(axis=0))
    np.testing.assert_allclose(fitted.loadings * sign, TRUE.loadings, atol=0.06)
    np.testing.assert_allclose(fitted.noise, TRUE.noise, atol=0.06)
    assert (fitted.loadings[~MASK] == 0).all()


def test_what_is_known_is_gaussian_conditioning():
    x, _ = drawn(30, 1)
    mean, variance = (known := what_is_known(x, TRUE)).posterior()
    for i in (0, 7, 19):
        seen = ~np.isnan(x[i])
        w = TRUE.loadings[seen]
        covariance = w @ w.T + np.diag(TRUE.noise[seen])
        gain = w.T @ np.linalg.inv(covariance)
        np.testing.assert_allclose(mean[i], gain @ x[i, seen])
        np.testing.assert_allclose(variance[known.of[i]], np.eye(2) - gain @ w)


def test_who_lacks_everything_is_average_and_unknown():
    known = what_is_known(np.full((2, 8), np.nan), TRUE)
    np.testing.assert_array_equal(known.posterior()[0], 0)
    np.testing.assert_allclose(known.information(), 0, atol=1e-12)


def test_a_free_factor_that_a_block_lacks_vanishes_from_it():
    rng = np.random.default_rng(2)
    shared, own = rng.standard_normal((2, 600, 1))
    noise = 0.5 * rng.standard_normal((3, 600, 4))
    a, b = shared + noise[0], np.hstack([shared + noise[1], own + noise[2]])
    x = np.hstack([a, b])
    x = (x - x.mean(0)) / x.std(0)
    block = np.array(["a"] * 4 + ["b"] * 8)
    w = fit_factors(x, np.ones((12, 2), dtype=bool), block, iterations=200).loadings
    strength = np.array([np.sqrt((w[block == name] ** 2).mean(axis=0)) for name in "ab"])
    # One of the two is in b alone.
    assert strength[0].min() < 0.15 * strength[1].min() + 0.1
    assert strength[1].min() > 0.3


def test_log_likelihood_is_that_of_the_columns():
    """Up to a constant, that of x under the mixture, with z integrated out."""
    x, _ = drawn(25, 3)
    known = what_is_known(x, TRUE)
    rng = np.random.default_rng(0)

    def direct(mix: Mixture) -> float:
        total = 0.0
        for row in x:
            seen = ~np.isnan(row)
            w = TRUE.loadings[seen]
            covariance = w @ mix.covariance @ w.T + np.diag(TRUE.noise[seen])
            parts = [
                share * stats.multivariate_normal.pdf(row[seen], w @ centre, covariance)
                for share, centre in zip(mix.shares, mix.centres, strict=True)
            ]
            total += np.log(sum(parts))
        return total

    from precisionpain.fusion._subtypes.mixture import _expect, _share

    mixes = [
        Mixture(np.array([0.3, 0.7]), rng.normal(size=(2, 2)), np.diag([0.5, 1.3])),
        Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)),
    ]
    ours = [_share(_expect(known, mix)[0])[1] for mix in mixes]
    assert ours[0] - ours[1] == pytest.approx(direct(mixes[0]) - direct(mixes[1]))


def clusters(n: int, seed: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 3
    centres = apart * np.array([[-1, -0.6], [1, -0.6], [0, 1.2]])
    z = centres[group] + 0.3 * rng.standard_normal((n, 2))
    return drawn(n, seed, z)[0], group


def test_mixture_finds_groups_and_likelihood_grows():
    x, group = clusters(150, 4, 1.5)
    known = what_is_known(x, TRUE)
    rng = np.random.default_rng(0)
    mix = fit_mixture(known, 3, rng)
    p = mix.probabilities(known)
    assert adjusted_rand_score(group, p.argmax(axis=1)) > 0.85
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert mix.log_likelihood > fit_mixture(known, 1, rng).log_likelihood
    taught = mixture_of(known, group, 3)
    assert adjusted_rand_score(group, taught.probabilities(known).argmax(axis=1)) > 0.85


def test_the_null_keeps_values_gaps_and_order():
    x, _ = drawn(60, 5)
    columns = [np.sort(c[~np.isnan(c)]) for c in x.T]
    normal = np.random.default_rng(0).standard_normal(x.shape)
    null = _with_margins(normal, x, columns)
    np.testing.assert_array_equal(np.isnan(null), np.isnan(x))
    for j in range(8):
        rows = ~np.isnan(x[:, j])
        np.testing.assert_array_equal(np.sort(null[rows, j]), columns[j])
        assert stats.spearmanr(null[rows, j], normal[rows, j]).statistic == pytest.approx(1)


def p_value(x: np.ndarray, seed: int) -> float:
    return compare_with_one_cluster(
        x, MASK, BLOCK, [2, 3], n_null=19, rng=np.random.default_rng(seed)
    ).p_value


def test_clusters_are_told_from_one():
    assert p_value(clusters(150, 6, 1.5)[0], 0) == pytest.approx(0.05)


def test_skew_and_steps_alone_are_no_clusters():
    """A Gaussian null would call these columns clusters."""
    p = []
    for seed in range(4):
        x, _ = drawn(80, 100 + seed)
        x[:, :4] = np.exp(x[:, :4])  # skewed
        x[:, 4:] = np.where(np.isnan(x[:, 4:]), np.nan, x[:, 4:] > 0.5)  # two steps
        p.append(p_value((x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0), seed))
    assert np.mean(np.array(p) <= 0.05) <= 1 / 4
    assert np.mean(p) > 0.15


def test_consensus_of_what_is_clear_and_of_what_is_not():
    truth = np.arange(40) % 2
    clear = resample(truth, lambda rows, rng: truth[rows], n_resamples=20,
                     rng=np.random.default_rng(0))  # fmt: skip
    assert clear.pac == 0
    assert clear.stability == 1
    assert adjusted_rand_score(truth, consensus_groups(clear.matrix, 2)) == 1
    vague = resample(truth, lambda rows, rng: rng.integers(0, 2, len(rows)), n_resamples=60,
                     rng=np.random.default_rng(0))  # fmt: skip
    assert vague.pac > 0.95
    assert abs(vague.stability) < 0.05
    np.testing.assert_array_equal(vague.matrix, vague.matrix.T)


def test_networks_fuse_people_who_lack_some():
    rng = np.random.default_rng(7)
    group = np.arange(80) % 2
    # Each block tells half of the people apart; together they tell all.
    blocks = [group[:, None] * 3.0 + rng.standard_normal((80, 3)) for _ in range(3)]
    for number, x in enumerate(blocks):
        x[(np.arange(80) // 2) % 3 == number] = np.nan
    networks = [network(x, neighbours=10) for x in blocks]
    fused = fuse_networks(networks, neighbours=10)
    np.testing.assert_allclose(fused, fused.T)
    assert (fused >= 0).all()
    assert adjusted_rand_score(group, network_groups(fused, 2, 0)) > 0.9
    apart = group[:, None] != group[None, :]
    assert fused[apart].mean() < 0.5 * fused[~apart & ~np.eye(80, dtype=bool)].mean()


def test_pairs_without_a_common_network_have_no_similarity():
    x = np.random.default_rng(8).standard_normal((20, 2))
    first, second = x.copy(), x.copy()
    first[10:], second[:10] = np.nan, np.nan
    fused = fuse_networks([network(first), network(second)], neighbours=5)
    assert (fused[:10, 10:] == 0).all()
    assert (fused[:10, :10] > 0).all()


def test_association_is_perfect_or_absent():
    group = np.arange(120) % 3
    index = pd.RangeIndex(120)
    noise = np.random.default_rng(9).permutation(group)
    table = association(
        group,
        {"site": pd.Series(group.astype(str), index), "noise": pd.Series(noise.astype(str), index)},
        ("site",), n_permutations=199, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert table.loc["site", "cramers_v"] == pytest.approx(1.0, abs=0.01)
    assert table.loc["site", "p_value"] == pytest.approx(1 / 200)
    assert table.loc["noise", "cramers_v"] < 0.2
    assert table["adjusted_for"].tolist() == [True, False]
