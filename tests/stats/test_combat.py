"""ComBat on arrays: closed forms, new batches, and what is refused; sva's values are elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.errors import ConvergenceWarning, FormatError
from precisionpain.stats import fit_combat


def batches(sizes=(40, 30, 25), p=8, seed=0):
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(len(sizes)), sizes)
    shift, scale = rng.normal(0, 1, (len(sizes), p)), rng.uniform(0.6, 1.6, (len(sizes), p))
    x = 5 + shift[code] + scale[code] * rng.normal(size=(len(code), p))
    return x, np.array(["A", "B", "C", "D"])[code]


def test_without_shrinkage_batches_share_mean_and_variance():
    x, batch = batches()
    found = fit_combat(x, batch, shrink=False).adjust(x, batch)
    for name in "BC":
        np.testing.assert_allclose(
            found[batch == name].mean(axis=0), found[batch == "A"].mean(axis=0), atol=1e-12
        )
        np.testing.assert_allclose(
            found[batch == name].var(axis=0, ddof=1), found[batch == "A"].var(axis=0, ddof=1)
        )


def test_covariates_keep_their_effect_and_their_unit_does_not_matter():
    x, batch = batches()
    z = np.random.default_rng(1).normal(size=(len(x), 1)) + (batch == "C")[:, None]
    moved = x + 3 * z
    fit = fit_combat(moved, batch, z, shrink=False, mean_only=True)
    plain = np.linalg.lstsq(
        np.column_stack([batch == b for b in "ABC"] + [z[:, 0]]).astype(float), moved, rcond=None
    )[0]
    np.testing.assert_allclose(fit.beta[0], plain[3])
    other = fit_combat(moved, batch, 1e6 * z, shrink=False, mean_only=True)
    np.testing.assert_allclose(
        other.adjust(moved, batch, 1e6 * z), fit.adjust(moved, batch, z), rtol=1e-9
    )
    missing = fit.adjust(moved[:1], batch[:1], [[np.nan]])
    np.testing.assert_allclose(missing, fit.adjust(moved[:1], batch[:1], [[z.mean()]]))


def test_rows_of_a_batch_that_was_not_seen_are_missing():
    x, batch = batches()
    fit = fit_combat(x, batch)
    found = fit.adjust(x[:3], ["A", "Z", "A"])
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], fit.adjust(x[[0, 2]], ["A", "A"]))


def test_one_more_batch_is_as_if_it_had_been_there():
    """A batch's own shrinkage needs the common level and scale, and its own rows."""
    x, batch = batches()
    known = batch != "C"
    more = fit_combat(x[known], batch[known]).with_batch("C", x[~known])
    assert more.batches == ("A", "B", "C")
    found = more.adjust(x, batch)
    base = fit_combat(x[known], batch[known])
    np.testing.assert_array_equal(found[known], base.adjust(x[known], batch[known]))
    # By hand: location and variance of the standardised rows, before shrinking.
    scaled = (x[~known] - base.alpha) / np.sqrt(base.sigma2)
    np.testing.assert_allclose(more.gamma_hat[2], scaled.mean(axis=0))
    np.testing.assert_allclose(more.delta_hat[2], scaled.var(axis=0, ddof=1))
    apart = np.abs(found[~known].mean(axis=0) - base.alpha).mean()
    assert apart < 0.1 * np.abs(x[~known].mean(axis=0) - base.alpha).mean()


def test_columns_that_do_not_borrow_change_nothing_for_the_others():
    x, batch = batches()
    odd = np.column_stack([x, 1000 * x[:, 0] ** 2])
    borrow = np.append(np.ones(8, dtype=bool), False)
    one, two = fit_combat(x, batch), fit_combat(odd, batch, borrow=borrow)
    np.testing.assert_allclose(two.gamma[:, :8], one.gamma)
    np.testing.assert_allclose(two.delta[:, :8], one.delta)
    np.testing.assert_allclose(two.gamma[:, 8], two.gamma_hat[:, 8])


def test_a_single_column_stands_alone_and_says_so():
    x, batch = batches(p=1)
    fit = fit_combat(x, batch)
    assert fit.not_shrunk == ("A", "B", "C")
    np.testing.assert_allclose(fit.gamma, fit.gamma_hat)


def test_rows_in_another_order_change_nothing():
    x, batch = batches()
    order = np.random.default_rng(2).permutation(len(x))
    one, two = fit_combat(x, batch), fit_combat(x[order], batch[order])
    np.testing.assert_allclose(two.adjust(x, batch), one.adjust(x, batch), rtol=1e-12)


def test_what_is_refused():
    x, batch = batches()
    with pytest.raises(FormatError, match="at least two batches, found 'A'"):
        fit_combat(x, np.full(len(x), "A"))
    with pytest.raises(FormatError, match="reference 'Z' is not among the batches"):
        fit_combat(x, batch, reference="Z")
    lone = np.append(batch[:-1], "D")
    with pytest.raises(FormatError, match=r"'D' has one sample.*mean_only=True"):
        fit_combat(x, lone)
    assert np.isfinite(fit_combat(x, lone, mean_only=True).adjust(x, lone)).all()
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 rounds for batch"):
        fit_combat(x, np.where(batch == "C", "B", batch), max_iter=1, tol=1e-300)
