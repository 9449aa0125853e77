"""Penalties of blocks by marginal likelihood, against integrals and optimisers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from precisionpain.fusion._laplace import _Mode, fit_block_ridge, fit_subsets
from precisionpain.fusion._weights import fit_weights, log_losses


def made(n: int, widths: list[int], seed: int, strengths: list[float]):
    """Blocks scaled as `FeatureBlock` does, and an outcome from them."""
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=(n, p)) / np.sqrt(p) for p in widths]
    eta = sum(s * x @ rng.normal(size=p) for s, x, p in zip(strengths, blocks, widths, strict=True))
    return blocks, (rng.random(n) < special.expit(eta - 0.4)).astype(float)


def kernels(blocks):
    return [x @ x.T for x in blocks]


# --- the mode and the evidence ------------------------------------------------------------


@pytest.mark.parametrize("variances", [[1.0, 1.0], [0.05, 9.0]])
def test_the_mode_is_that_of_the_penalised_likelihood(variances):
    blocks, y = made(40, [3, 60], 0, [1.0, 1.0])
    b = -0.3
    x = np.hstack(blocks)
    v = np.repeat(variances, [3, 60])

    def cost(beta):
        eta = b + x @ beta
        slope = x.T @ (special.expit(eta) - y) + beta / v
        return log_losses(eta, y).sum() + (beta**2 / v).sum() / 2, slope

    best = optimize.minimize(cost, np.zeros(63), jac=True, method="BFGS", options={"gtol": 1e-9})
    mode = _Mode(kernels(blocks), np.array(variances), b, y)
    coefficients = v * (x.T @ mode.dual)
    np.testing.assert_allclose(coefficients, best.x, atol=1e-6)
    np.testing.assert_allclose(mode.f, b + x @ best.x, atol=1e-6)
    assert np.abs(cost(coefficients)[1]).max() < 1e-7


def test_with_one_penalty_it_is_the_ridge_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    blocks, y = made(50, [4, 6], 1, [1.0, 1.0])
    x, v = np.hstack(blocks), 0.7
    ridge = LogisticRegression(C=v, tol=1e-10, max_iter=10_000).fit(x, y)
    # At the intercept that scikit-learn found the coefficients are its own too.
    mode = _Mode(kernels(blocks), np.array([v, v]), float(ridge.intercept_[0]), y)
    np.testing.assert_allclose(v * x.T @ mode.dual, ridge.coef_[0], atol=1e-5)
    assert mode.dual.sum() == pytest.approx(0, abs=1e-5)  # their intercept isn't penalised


@pytest.mark.parametrize("seed", range(3))
def test_slopes_of_the_evidence(seed):
    blocks, y = made(30, [2, 5, 40], seed, [1.5, 0.0, 1.0])
    k = kernels(blocks)
    at = np.random.default_rng(seed).normal(0, 1.5, 4)

    def evidence(t):
        return _Mode(k, np.exp(t[:3]), t[3], y).log_evidence

    by_v, by_b = _Mode(k, np.exp(at[:3]), at[3], y).slopes(k)
    steps = np.eye(4) * 1e-5
    expected = [(evidence(at + h) - evidence(at - h)) / 2e-5 for h in steps]
    np.testing.assert_allclose([*by_v, by_b], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variance", [0.3, 1.0, 4.0])
def test_evidence_is_near_the_integral_in_one_dimension(variance):
    (x,), y = made(25, [1], 2, [1.5])
    b = -0.2

    def likelihood(beta):
        eta = b + x[:, 0] * beta
        return np.exp(-log_losses(eta, y).sum()) * stats.norm.pdf(beta, 0, np.sqrt(variance))

    truth = np.log(integrate.quad(likelihood, -25, 25, points=[0, 2], limit=300)[0])
    assert _Mode([x @ x.T], np.array([variance]), b, y).log_evidence == pytest.approx(
        truth, abs=0.05
    )


def test_evidence_is_near_the_integral_in_two_dimensions():
    blocks, y = made(30, [1, 1], 3, [1.0, 1.0])
    variances, b = np.array([0.5, 2.0]), 0.1
    grid = np.linspace(-8, 8, 321)
    one, two = np.meshgrid(grid, grid, indexing="ij")
    eta = b + one[..., None] * blocks[0][:, 0] + two[..., None] * blocks[1][:, 0]
    fit = -(np.logaddexp(0, eta) - y * eta).sum(axis=-1)
    prior = stats.norm.logpdf(one, 0, np.sqrt(0.5)) + stats.norm.logpdf(two, 0, np.sqrt(2.0))
    area = np.log((grid[1] - grid[0]) ** 2)
    truth = special.logsumexp(fit + prior) + area
    mode = _Mode(kernels(blocks), variances, b, y)
    assert mode.log_evidence == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0])
def test_separable_and_tiny_data_have_a_mode_too(scale):
    """Newton's steps must not run away where the classes are far apart."""
    x = np.concatenate([np.linspace(-2, -1, 15), np.linspace(1, 2, 15)])[:, None] * scale
    y = np.repeat([0.0, 1.0], 15)
    mode = _Mode([x @ x.T], np.array([np.exp(4.0)]), 0.0, y)
    np.testing.assert_allclose(mode.dual, y - special.expit(mode.f), atol=1e-7)
    found = fit_block_ridge([x @ x.T], y)
    assert np.isfinite([found.intercept, *found.variances, found.log_evidence]).all()


# --- the penalties ------------------------------------------------------------------------


def test_the_penalties_are_where_the_evidence_and_its_prior_are_highest():
    blocks, y = made(60, [3, 20], 4, [2.0, 0.0])
    k = kernels(blocks)
    found = fit_block_ridge(k, y)
    t = np.append(np.log(found.variances), found.intercept)

    def unlikely(t):
        prior = ((t[:2] + np.log(2)) ** 2).sum() / 2  # about 1 in all
        return -_Mode(k, np.exp(t[:2]), t[2], y).log_evidence + prior

    assert found.log_evidence == pytest.approx(-unlikely(t))
    best = optimize.minimize(unlikely, np.zeros(3), method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000})  # fmt: skip
    assert unlikely(t) <= best.fun + 1e-5
    np.testing.assert_allclose(t, best.x, atol=0.02)


def test_a_block_of_noise_is_turned_down():
    of_signal, of_noise = [], []
    for seed in range(12):
        blocks, y = made(120, [5, 5], seed, [2.0, 0.0])
        one, two = fit_block_ridge(kernels(blocks), y).variances
        of_signal.append(np.log(one))
        of_noise.append(np.log(two))
    gap = np.array(of_signal) - np.array(of_noise)
    assert gap.mean() > 3 * gap.std(ddof=1) / np.sqrt(len(gap))
    assert np.mean(of_noise) < -np.log(2) < np.mean(of_signal)


def test_sets_of_blocks_are_weighed_by_evidence_and_number():
    blocks, y = made(50, [3, 3, 3, 3], 8, [1.0, 0.5, 0.0, 0.0])
    k = kernels(blocks)
    got = {used: (w, each.log_evidence) for w, used, each in fit_subsets(k, y, 64)}
    assert len(got) == 8
    assert all(used[0] == 0 for used in got)
    assert sum(w for w, _ in got.values()) == pytest.approx(1)
    # Against one another: evidence, times one over how many sets have as many blocks.
    same = {1: 1, 2: 3, 3: 3, 4: 1}
    lone, lone_evidence = got[(0,)]
    for used, (w, evidence) in got.items():
        odds = np.exp(evidence - lone_evidence) / same[len(used)]
        assert w / lone == pytest.approx(odds, rel=1e-6)
    others = sum(np.exp(e) / same[len(used)] for used, (_, e) in got.items() if len(used) > 1) / 3
    factor = np.log(others) - lone_evidence
    below, above = fit_subsets(k, y, 64, factor - 0.01), fit_subsets(k, y, 64, factor + 0.01)
    assert [w for w, *_ in above] == [1.0] + [0.0] * 7
    assert [w for w, *_ in below] == [w for w, _ in got.values()]
    few = [used for _, used, _ in fit_subsets(k, y, 4)]
    assert few == [(0,), (0, 1), (0, 2), (0, 1, 2, 3)]


def test_the_order_of_blocks_and_people_does_not_matter():
    blocks, y = made(50, [3, 10], 5, [1.0, 1.0])
    one = fit_block_ridge(kernels(blocks), y)
    order = np.random.default_rng(0).permutation(50)
    two = fit_block_ridge(kernels([x[order] for x in blocks[::-1]]), y[order])
    np.testing.assert_allclose(one.variances, two.variances[::-1], rtol=1e-3)
    np.testing.assert_allclose(one.dual[order], two.dual, atol=1e-4)


def test_precision_gives_the_variance_of_new_log_odds():
    blocks, y = made(40, [4], 6, [1.5])
    (x,) = blocks
    found = fit_block_ridge([x @ x.T], y)
    v, b = found.variances[0], found.intercept
    beta = v * x.T @ found.dual
    p = special.expit(b + x @ beta)
    # Laplace: the inverse of the second derivative of the penalised likelihood.
    covariance = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + np.eye(4) / v)
    new = np.random.default_rng(7).normal(size=(9, 4))
    k = v * new @ x.T
    spread = v * (new**2).sum(axis=1) - np.einsum("ij,jk,ik->i", k, found.precision, k)
    np.testing.assert_allclose(spread, np.einsum("ij,jk,ik->i", new, covariance, new), rtol=1e-6)


# --- weights of stacking ------------------------------------------------------------------


def told(n: int, strengths: list[float], seed: int):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, len(strengths)))
    y = (rng.random(n) < special.expit(z @ np.array(strengths) - 0.5)).astype(float)
    return z, y


def profiled(b, w, z, y, spread):
    """The penalised loss with the mean of the weights at its best, m >= 0, written out."""
    k = len(w)
    m = max(0.0, (w.sum() / spread**2 + 1) / (k / spread**2 + 1))
    loss = log_losses(b + z @ w, y).sum()
    return loss + ((w - m) ** 2).sum() / (2 * spread**2) + (m - 1) ** 2 / 2, m


@pytest.mark.parametrize("spread", [0.05, 0.15, 1.0, 10.0])
@pytest.mark.parametrize("strengths", [[1.0, 0.5, 0.2], [1.0, -1.0, 0.0], [-1.0, -0.5]])
def test_weights_meet_the_conditions_of_an_optimum(spread, strengths):
    z, y = told(80, strengths, 1)
    b, w = fit_weights(z, y, spread)
    assert (w >= 0).all()
    _, m = profiled(b, w, z, y, spread)
    residual = special.expit(b + z @ w) - y
    slope = z.T @ residual + (w - m) / spread**2
    assert abs(residual.sum()) < 0.01
    # Where a weight is above 0 the slope is 0; where it is 0 there is no way down.
    at_zero = w < 1e-9
    assert np.abs(slope[~at_zero]).max(initial=0) < 0.05
    assert (slope[at_zero] > -0.05).all()
    lowest = profiled(b, w, z, y, spread)[0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        near = np.maximum(w + rng.normal(0, 0.02, len(w)), 0)
        assert profiled(b + rng.normal(0, 0.02), near, z, y, spread)[0] > lowest - 1e-4


def test_the_intercept_calibrates():
    for seed in range(5):
        z, y = told(60, [1.0, 0.3], seed)
        b, w = fit_weights(z, y, 0.15)
        assert special.expit(b + z @ w).mean() == pytest.approx(y.mean(), abs=1e-4)


def test_no_spread_gives_equal_weights():
    z, y = told(100, [1.5, 0.0, 0.5], 2)
    _, w = fit_weights(z, y, 0.005)
    np.testing.assert_allclose(w, w.mean(), atol=0.005)
    # And their size is that of one weight for the sum.
    total = z.sum(axis=1)

    def cost(t):
        return log_losses(t[0] + t[1] * total, y).sum() + (t[1] - 1) ** 2 / 2

    best = optimize.minimize(cost, [0.0, 0.5]).x
    assert w.mean() == pytest.approx(best[1], abs=0.01)


@pytest.mark.parametrize("strengths", [[1.5, 0.2, 0.7], [1.0, -1.0, 0.3]])
def test_a_large_spread_is_plain_non_negative_stacking(strengths):
    z, y = told(200, strengths, 3)
    b, w = fit_weights(z, y, 1e3)

    def cost(t):
        return log_losses(t[0] + z @ t[1:], y).sum()

    bounds = [(None, None)] + [(0, None)] * 3
    best = optimize.minimize(cost, np.full(4, 0.5), bounds=bounds, method="TNC",
                             options={"maxfun": 5000}).x  # fmt: skip
    np.testing.assert_allclose([b, *w], best, atol=0.01)


def test_loss_is_that_of_scikit_learn():
    from sklearn.metrics import log_loss

    eta, y = np.random.default_rng(0).normal(0, 3, 50), np.arange(50) % 2
    assert log_losses(eta, y).mean() == pytest.approx(log_loss(y, special.expit(eta)))
    assert np.isfinite(log_losses(np.array([-900.0, 900.0]), np.array([1, 0]))).all()
