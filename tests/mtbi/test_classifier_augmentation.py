"""Augmentation: what it changes, what it leaves, and on which side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from precisionpain.mtbi._classifier import augmentation as module
from precisionpain.mtbi._classifier.augmentation import augment

SHAPE = (9, 15, 13)
SIDES = {"axial": 4, "coronal": 4, "sagittal": 2}


@pytest.fixture
def volumes():
    """Air of −1 around a smooth blob, off the middle along every axis."""
    z, y, x = (torch.arange(float(n)) for n in SHAPE)
    squares = ((z - 1) ** 2)[:, None, None] + ((y - 10) ** 2)[:, None] + (x - 2) ** 2
    return (-1 + 3 * torch.exp(-squares / 6)).expand(24, 1, *SHAPE).clone()


def rng(seed=0):
    return np.random.default_rng(seed)


def centre(volume):
    """Centre of mass of what is above the air, in voxels."""
    weight = (volume + 0.5).clamp(min=0).squeeze(0)  # more than any noise
    grids = torch.meshgrid(*(torch.arange(float(n)) for n in weight.shape), indexing="ij")
    return np.array([float((grid * weight).sum() / weight.sum()) for grid in grids])


@pytest.mark.parametrize("kind", ["paper", "anatomical"])
def test_it_is_a_function_of_its_generator(volumes, kind):
    before = volumes.clone()
    one = augment(volumes, kind, "axial", rng(3))
    assert torch.equal(volumes, before)
    assert torch.equal(one, augment(volumes, kind, "axial", rng(3)))
    assert not torch.equal(one, augment(volumes, kind, "axial", rng(4)))
    assert one.shape == volumes.shape
    assert one.dtype == torch.float32
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("plane", SIDES)
def test_the_published_one_mirrors_the_width_and_adds_noise(volumes, plane):
    out = augment(volumes, "paper", plane, rng())
    mirrored = 0
    for before, after in zip(volumes, out, strict=True):
        plain, flipped = after - before, after - before.flip(-1)
        mirrored += int(flipped.std() < plain.std())
        residual = min(plain, flipped, key=lambda each: float(each.std()))
        assert residual.std().item() == pytest.approx(0.1, rel=0.1)
        assert abs(residual.mean().item()) < 0.01
    assert 5 <= mirrored <= 19  # of 24, with probability 0.997


@pytest.mark.parametrize("plane", SIDES)
def test_sides_stay_unless_asked(volumes, plane):
    """The centre of the blob moves by a few voxels, and to the other side only on demand."""
    axis = SIDES[plane] - 2
    middle = (SHAPE[axis] - 1) / 2
    start = centre(volumes[0])[axis] - middle

    def swapped(**options):
        out = augment(volumes, "anatomical", plane, rng(), **options)
        found = np.array([centre(each)[axis] - middle for each in out])
        return int((np.sign(start) * found < 0).sum())

    assert swapped() == 0
    assert 5 <= swapped(swap_sides=True) <= 19  # of 24, with probability 0.997


def test_movements_are_small_and_keep_shapes(volumes, monkeypatch):
    monkeypatch.setattr(module, "_NOISE", 0.0)
    monkeypatch.setattr(module, "_CONTRAST", 0.0)
    monkeypatch.setattr(module, "_BIAS", 0.0)
    out = augment(volumes, "anatomical", "axial", rng())
    start = centre(volumes[0])
    moves = np.array([np.linalg.norm(centre(each) - start) for each in out])
    # Shift of 2 voxels along each axis, and 5° and 5% at most 6 voxels from the middle.
    assert moves.max() < np.sqrt(3) * 2 + 6 * (3 * np.radians(5) + 0.05) + 0.5
    assert moves.min() > 0
    assert out.min() >= volumes.min() - 1e-5
    assert out.max() <= volumes.max() + 1e-5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_is_one_in_voxels(monkeypatch, axis):
    """Angles are those of the body, though torch counts each axis from −1 to 1."""

    class Fixed:
        """Draws a quarter turn about one axis, no stretch and no shift."""

        calls = 0

        def uniform(self, *_):
            self.calls += 1
            return np.where(np.arange(3) == axis, 90.0, 0.0) if self.calls == 1 else np.zeros(3)

    volume = torch.zeros(1, 1, 7, 11, 9)
    volume[0, 0, 3, 5, 4] = 1.0  # the middle
    turned_axes = [2 - other for other in range(3) if other != axis]
    place = [3, 5, 4]
    place[turned_axes[0]] += 2
    volume[0, 0, place[0], place[1], place[2]] = 2.0
    out = module._moved(volume, Fixed())
    assert out[0, 0, 3, 5, 4] == pytest.approx(1.0, abs=1e-4)
    found = np.array(np.unravel_index(int(out[0, 0].argmax()), out.shape[2:])) - [3, 5, 4]
    assert out.max() == pytest.approx(2.0, abs=1e-4)
    assert abs(found[turned_axes[1]]) == 2  # the same two voxels, along the other axis
    assert np.abs(found).sum() == 2


def test_air_stays_dark(volumes, monkeypatch):
    monkeypatch.setattr(module, "_NOISE", 0.0)
    out = augment(volumes, "anatomical", "axial", rng())
    lows = out.amin((1, 2, 3, 4))
    torch.testing.assert_close(lows, torch.full_like(lows, -1), atol=2e-2, rtol=0)
    brightest = out.amax((1, 2, 3, 4)) + 1
    assert brightest.std() > 0.05 * brightest.mean()  # contrast and field do something
