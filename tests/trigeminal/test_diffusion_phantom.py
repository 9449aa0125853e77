"""FA of the library's phantom, seen by a scan that doesn't share the labels' voxels."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.trigeminal._phantom.dti import simulate_dwi
from precisionpain.trigeminal._phantom.raster import class_fractions, grid_of, nerve_direction
from precisionpain.trigeminal.diffusion import measure_diffusion
from precisionpain.trigeminal.phantom import simulate_cistern


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_corrected_fa_is_right_where_the_naive_mean_is_not(shift: float) -> None:
    corrected, naive = [], []
    for seed in range(4):
        cistern = simulate_cistern(seed)
        scene, how = cistern._scene, cistern._how
        assert scene is not None
        assert how is not None
        rng = np.random.default_rng(100 + seed)
        shape, affine = grid_of(scene, (0.35,) * 3, how.fov_mm, (5.0, -4.0, 6.0), np.zeros(3))
        scan = simulate_dwi(
            class_fractions(scene, affine, shape, 2), affine,
            nerve_direction(scene, affine, shape), spacing=2.0, snr=25.0, epi_shift_mm=shift,
            rng=rng,
        )  # fmt: skip
        found = measure_diffusion(
            scan.image, scan.gradients, cistern.fractions, bins=None,
            shift_mm="estimate" if shift else 0.0,
        )  # fmt: skip
        np.testing.assert_allclose(found["shift_mm"], shift, atol=0.2)
        corrected += list(found["fa"] - scan.truth["fa"])
        naive += list(found["fa_naive"] - scan.truth["fa"])
    # Eight nerves, each with a standard error of about 0.03: the mean is known to 0.011.
    assert abs(np.mean(corrected)) < 0.02 + 0.011
    assert np.mean(naive) < -0.15
