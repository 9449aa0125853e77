"""Parts of the segmenter, each against a closed form, an oracle or a property."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from precisionpain._learning.device import sound_half
from precisionpain.errors import FormatError, GeometryError
from precisionpain.trigeminal import Label, SimulatedCisterns
from precisionpain.trigeminal._phantom.tissue import Tissue, to_label_fractions
from precisionpain.trigeminal._segmentation import sampling, simulation
from precisionpain.trigeminal._segmentation.checks import describe, judge, known_ranges
from precisionpain.trigeminal._segmentation.grids import Grid, normalise, resample, working_grid
from precisionpain.trigeminal._segmentation.inference import (
    best_class,
    fit_temperature,
    infer,
    logits_of,
)
from precisionpain.trigeminal._segmentation.losses import (
    LOSSES,
    _centreline,
    _cross_entropy,
    _thin,
    build_loss,
    soft_dice,
)
from precisionpain.trigeminal._segmentation.networks import NETWORKS, build_network, coarsest_size
from precisionpain.trigeminal._segmentation.sampling import PatchSampler
from precisionpain.trigeminal._segmentation.scans import LabelledScans
from precisionpain.trigeminal._segmentation.settings import (
    as_patch,
    as_spacing,
    as_structures,
    as_units,
)
from precisionpain.trigeminal._segmentation.sides import keep_largest, left_of_midline

from .small_scans import oblique, small_scan

CPU = torch.device("cpu")
CLASSES = [(0,), (1,), (2, 3), (4,), (5,)]


def world(grid: Grid) -> np.ndarray:
    """Centre of each voxel, mm; the slow way."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def corners(grid: Grid) -> np.ndarray:
    """The first and the last corner of the box that the voxels fill, mm."""
    ends = np.array([[-0.5] * 3, np.array(grid.shape) - 0.5])
    return ends @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def centroid(weights: np.ndarray, grid: Grid) -> np.ndarray:
    return (world(grid) * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()


# --- grids -------------------------------------------------------------------------------

sizes = st.tuples(*[st.integers(1, 40)] * 3)
spacings = st.tuples(*[st.floats(0.3, 1.4)] * 3)
angles = st.tuples(*[st.floats(-40, 40)] * 3)


@given(sizes, spacings, spacings, angles)
def test_the_working_grid_covers_the_same_box(shape, old, new, degrees):
    grid = Grid(shape, oblique(old, degrees, shape))
    found = working_grid(grid, new)
    np.testing.assert_allclose(found.spacing, new)
    first, last = corners(grid), corners(found)
    np.testing.assert_allclose(first[0], last[0], atol=1e-9)
    # The far faces differ by less than half a voxel, along each axis of the scan.
    off = np.linalg.solve(grid.affine[:3, :3] / grid.spacing, last[1] - first[1])
    whole = np.array(shape) * old >= np.array(new) / 2  # else one voxel is the least
    assert (np.abs(off)[whole] <= np.array(new)[whole] / 2 + 1e-5).all()
    np.testing.assert_allclose(found.affine[:3, :3] / new, grid.affine[:3, :3] / old, atol=1e-12)


def test_a_working_grid_without_a_voxel_size_is_that_of_the_scan():
    grid = Grid((4, 5, 6), oblique((0.4, 0.5, 0.6)))
    assert working_grid(grid, None) is grid


@pytest.mark.parametrize("new", [(0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (0.45, 1.3, 0.8)])
@pytest.mark.parametrize("order", [1, 3])
def test_a_ramp_is_resampled_exactly(new, order):
    grid = Grid((30, 28, 26), oblique((0.7, 0.8, 0.6), (10, -20, 5)))
    target = working_grid(grid, new)
    slope = np.array([0.3, -0.2, 0.5])
    found = resample(world(grid) @ slope + 4, grid, target, order=order)
    # The edge, where values beyond it are made up, reaches a few voxels in.
    inner = tuple(slice(8, n - 8) for n in target.shape)
    np.testing.assert_allclose(found[inner], (world(target) @ slope + 4)[inner], atol=2e-3)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.4, 0.4, 0.8), (0.9, 0.6, 0.7)])
@pytest.mark.parametrize("new", [(0.5, 0.5, 0.5), (0.8, 0.8, 0.8), (0.6, 0.5, 0.9)])
def test_a_ball_stays_where_it_is(spacing, new):
    shape = tuple(int(18 / step) for step in spacing)
    grid = Grid(shape, oblique(spacing, (8, 15, -20), shape))
    center = corners(grid).mean(axis=0) + np.array([1.3, -0.7, 0.4])
    ball = 1 / (1 + np.exp((np.linalg.norm(world(grid) - center, axis=-1) - 3) / 0.3))
    target = working_grid(grid, new)
    there = resample(ball, grid, target)
    np.testing.assert_allclose(centroid(there, target), center, atol=0.05)
    np.testing.assert_allclose(centroid(resample(there, target, grid), grid), center, atol=0.05)
    # No tissue is made or lost.
    volume = ball.sum() * np.prod(spacing)
    assert there.sum() * np.prod(new) == pytest.approx(volume, rel=0.02)


@given(st.integers(2, 12), st.floats(1.02, 4), st.floats(-3, 5))
def test_larger_voxels_hold_the_mean_of_what_they_cover(n, step, start):
    """Against a sum over many points of the line through the values."""
    values = np.random.default_rng(n).normal(size=n)
    size = 5
    grid = Grid((n, 1, 1), np.eye(4))
    target = Grid((size, 1, 1), np.diag([step, 1, 1, 1]))
    target.affine[0, 3] = start
    found = resample(values[:, None, None], grid, target)[:, 0, 0]
    for k in range(size):
        low, high = np.clip(start + step * (k + np.array([-0.5, 0.5])), -0.5, n - 0.5)
        points = low + (high - low) * (np.arange(4000) + 0.5) / 4000
        expected = np.interp(points, np.arange(n), values).mean()
        assert found[k] == pytest.approx(expected, abs=2e-3)


def test_resampling_onto_the_same_grid_changes_nothing():
    grid = Grid((5, 6, 7), oblique((0.5, 0.6, 0.7)))
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    np.testing.assert_array_equal(resample(values, grid, grid, order=3), values)


def test_a_cut_lies_where_it_was():
    grid = Grid((9, 8, 7), oblique((0.5, 0.6, 0.7), (5, 10, 15)))
    part = grid.cut(np.array([2, 3, 1]), (4, 3, 2))
    np.testing.assert_allclose(world(part), world(grid)[2:6, 3:6, 1:3])


def test_normalised_intensities_know_no_gain_and_no_outliers():
    values = np.random.default_rng(0).gamma(4, 100, (40, 40, 40))
    found = normalise(values)
    assert found.dtype == np.float32
    assert abs(found.mean()) < 1e-4
    assert found.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(normalise(7 * values + 300), found, atol=1e-4)
    spiked = values.copy()
    spiked[:3, :3, 0] = 1e6
    clear = (values < np.quantile(values, 0.99)) & (spiked == values)
    np.testing.assert_allclose(normalise(spiked)[clear], found[clear], atol=0.02)


def test_normalisation_looks_at_all_planes():
    values = np.random.default_rng(0).normal(size=(100, 100, 200)).astype(np.float32)
    values[..., ::10] = 0  # a stride of 10 over all voxels meets nothing else
    assert normalise(values).std() == pytest.approx(1, abs=1e-3)


# --- losses ------------------------------------------------------------------------------


def shares(seed, n_classes=4, size=8, sharpness=2.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(2, n_classes, size, size, size))
    field = ndimage.gaussian_filter(field, (0, 0, 1, 1, 1))
    return torch.from_numpy(10 * sharpness * field).float().softmax(1)


def hard(shares: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1).float()


@pytest.mark.parametrize("seed", range(5))
def test_soft_dice_is_least_at_the_soft_target_itself(seed):
    target = shares(seed, sharpness=0.3)
    least = soft_dice(target, target)
    assert abs(float(least)) < 1e-3
    for other in (hard(target), shares(seed + 100), 0.9 * target + 0.1 * shares(seed + 200)):
        assert soft_dice(other, target) > least + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_soft_dice_of_hard_labels_is_dice(seed):
    found, truth = hard(shares(seed)), hard(shares(seed + 50))
    each = []
    for k in range(1, 4):
        a, b = found[:, k].bool(), truth[:, k].bool()
        each.append(2 * int((a & b).sum()) / int(a.sum() + b.sum()))
    assert float(soft_dice(found, truth)) == pytest.approx(1 - np.mean(each), abs=1e-4)


def test_a_class_that_a_batch_lacks_has_no_dice():
    truth, found = hard(shares(0)), shares(1)
    truth[:, 0] += truth[:, 2]
    truth[:, 2] = 0
    p, g = (torch.cat([each[:, :2], each[:, 3:]], dim=1) for each in (found, truth))
    assert float(soft_dice(found, truth)) == pytest.approx(float(soft_dice(p, g)))
    assert float(soft_dice(found, truth)) > 0.1
    nothing = torch.zeros_like(truth)
    assert float(soft_dice(found, nothing)) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_less_at_the_truth_than_beside_it(name):
    target = shares(3)
    loss = build_loss(name)
    best, parts = loss(target.clamp(min=1e-9).log(), target)
    for axis in (2, 3, 4):
        beside, worse = loss(target.roll(1, axis).clamp(min=1e-9).log(), target)
        assert beside > best + 1e-3
        assert worse["dice"] < parts["dice"]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("there", [(0, 2), (0,)])
def test_a_loss_and_its_gradient_are_finite_where_classes_are_absent(name, there):
    target = torch.zeros(2, 4, 8, 8, 8)
    target[:, there[-1]] = shares(0)[:, 1]
    target[:, 0] += 1 - target.sum(1)
    for scale in (1.0, 100.0):
        logits = (scale * shares(1)).requires_grad_()
        value, parts = build_loss(name)(logits, target)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()
        assert 0 <= float(parts["dice"]) <= 1


def tube(size=24) -> np.ndarray:
    found = np.zeros((3, size, size, size), dtype=np.float32)
    found[2, 2:-2, 9:14, 9:14] = 1
    found[0] = 1 - found[2]
    return found


def test_a_tube_in_two_has_a_worse_centre_line_than_a_thinner_one():
    truth, broken, thin = tube(), tube(), tube()
    broken[2, 10:13] = 0
    thin[2, :, 9] = 0  # one layer of the surface: more voxels are lost than by the gap
    assert thin[2].sum() < broken[2].sum()
    whole, gap, thinner = (
        float(_centreline(torch.from_numpy(found)[None], torch.from_numpy(truth)[None]))
        for found in (truth, broken, thin)
    )
    assert whole == pytest.approx(0, abs=1e-3)
    assert gap > thinner + 0.02


def test_a_thin_tube_counts_for_more_than_its_volume():
    """Half of a tube lost, of one with a ninth of the voxels of another."""

    def lost(radius):
        truth = np.zeros((1, 3, 32, 32, 32), dtype=np.float32)
        truth[:, 1, :, :, :10] = 1
        truth[:, 2, :, 16 - radius : 16 + radius, 20 - radius : 20 + radius] = 1
        truth[:, 0] = 1 - truth[:, 1:].sum(1)
        found = truth.copy()
        found[:, 2, 16:] = 0
        found[:, 0] = 1 - found[:, 1:].sum(1)
        target, probability = (
            torch.from_numpy(each).clamp(1e-4, 0.9998) for each in (truth, found)
        )
        return [float(_thin(probability, target)), float(_cross_entropy(probability.log(), target))]

    (thin, thin_plain), (thick, thick_plain) = lost(1), lost(3)
    assert thick_plain > 7 * thin_plain
    assert thick < 4 * thin
    assert thin > 3 * thin_plain


def test_structures_that_count_as_one_have_a_dice_of_their_own():
    """By hand: the union of two classes as another class."""
    target, logits = shares(0), shares(1)
    probability = logits.softmax(1)
    united = [torch.cat([each, each[:, 2:4].sum(1, keepdim=True)], 1)
              for each in (probability, target)]  # fmt: skip
    value, parts = build_loss("dice", [(2, 3)])(logits, target)
    torch.testing.assert_close(value, soft_dice(*united))
    assert float(parts["dice"]) == pytest.approx(1 - float(value))


def test_what_is_a_vessel_of_either_kind_is_not_called_background():
    """Of ten voxels that look alike four are background, three artery and three vein."""
    kinds = [0] * 4 + [1] * 3 + [2] * 3
    target = nn.functional.one_hot(torch.tensor(kinds), 3).T.float()
    # Beside them voxels that are told apart.
    sure = torch.eye(3).repeat_interleave(5, 1)
    whole = torch.cat([target, sure], 1).view(1, 3, 25, 1, 1)

    def learned(as_one):
        odds = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.Adam([odds], 0.05)
        for _ in range(300):
            logits = torch.cat([odds[:, None].expand(3, 10), 8 * sure], 1).view_as(whole)
            optimizer.zero_grad()
            build_loss("dice", as_one)(logits, whole)[0].backward()
            optimizer.step()
        return float(odds.detach().softmax(0)[0])

    assert learned(()) > 0.9
    assert learned([(1, 2)]) < 0.1


@pytest.mark.parametrize("n_units", [3, 40])
def test_the_best_class_is_that_of_the_likeliest_unit(n_units):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(n_units + 2, 0.5), (4, 5, 6)).transpose(3, 0, 1, 2)
    units = [(1,), (2, 4), (3,), *((k,) for k in range(5, n_units + 2))]
    found = best_class(p, units)
    for where in np.ndindex(found.shape):
        odds = {(0,): p[0][where]} | {u: sum(p[c][where] for c in u) for u in units}
        unit = max(odds, key=odds.get)
        assert found[where] == max(unit, key=lambda c: p[c][where])
    np.testing.assert_array_equal(
        best_class(p, [(k,) for k in range(1, n_units + 2)]), p.argmax(axis=0)
    )


def test_of_equals_the_structure_wins_over_the_background():
    assert best_class(np.full((3, 1, 1, 1), 1 / 3), [(1,), (2,)]).item() == 2
    assert best_class(np.array([0.5, 0.25, 0.25]).reshape(3, 1, 1, 1), [(1, 2)]).item() == 1


@pytest.mark.parametrize(
    "as_one",
    [(("a",),), (("a", "x"),), (("a", "b"), ("b", "c")), ("a", "b"), "ab", 3, (("a", "a"),)],
)
def test_groups_that_cannot_be_are_refused(as_one):
    with pytest.raises(FormatError, match=r"as_one.*groups of two or more of a, b, c"):
        as_units("abc", as_one)


def test_every_structure_is_in_one_unit():
    assert as_units("abcd", ()) == [(1,), (2,), (3,), (4,)]
    assert as_units("abcd", (("d", "b"),)) == [(1,), (2, 4), (3,)]


@pytest.mark.parametrize("build", [build_loss, lambda name: build_network(name, 1, 2, 4)])
def test_unknown_names_are_refused_with_those_that_are_known(build):
    with pytest.raises(FormatError, match=r"unknown.*'focal'.*known are"):
        build("focal")


# --- networks ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_the_grid_and_learns_everywhere(name):
    network = build_network(name, 2, 3, 4)
    seen: list[tuple[int, ...]] = []
    for part in network.modules():
        if isinstance(part, nn.Conv3d):
            part.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[2:])))
    image = torch.randn(1, 2, 32, 48, 32, generator=torch.Generator().manual_seed(0))
    logits = network(image)
    shape = (1, 3, 3, 32, 48, 32) if name == "deep_dynunet" else (1, 3, 32, 48, 32)
    assert logits.shape == shape
    assert network.eval()(image).shape == (1, 3, 32, 48, 32)
    logits.square().mean().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias before a norm has no effect, and no gradient but rounding.
    assert [n for n in still if not n.endswith("bias")] == []
    assert coarsest_size(name, (32, 48, 32)) == min(seen)


def test_deep_supervision_weighs_coarser_scales_less():
    """By hand: a mean with weights 1, 1/2 and 1/4, and the Dice of the finest scale."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 16, 16, 16, generator=rng)
    target = torch.randn(2, 4, 16, 16, 16, generator=rng).softmax(1)
    loss = build_loss("dice_ce")
    one, half, quarter = (loss(logits[:, k], target) for k in range(3))
    expected = (one[0] + half[0] / 2 + quarter[0] / 4) / 1.75
    value, noted = loss(logits, target)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(noted["dice"], one[1]["dice"])


@pytest.mark.parametrize("width", [0, 6, 4.0, True, "4"])
def test_a_width_that_no_network_has_is_refused(width):
    with pytest.raises(FormatError, match="multiple of 4"):
        build_network("unet", 1, 2, width)


def test_patches_that_leave_one_voxel_are_refused():
    with pytest.raises(FormatError, match=r"16 × 16 × 16.*at least 32"):
        coarsest_size("basic_unet", (16, 16, 16))
    assert coarsest_size("basic_unet", (16, 16, 32)) == (1, 1, 2)


def test_bfloat16_is_used_where_its_gradients_are_those_of_32_bits():
    assert not sound_half(CPU, (2, 8, 8))
    assert sound_half(CPU, (3, 2, 2))
    assert sound_half(torch.device("cuda"), (2, 2, 2))
    # What the CPU makes of the smallest sizes that pass.
    for shape in ((3, 2, 2), (3, 3, 3), (4, 2, 4)):
        image = torch.randn(2, 16, *shape, generator=torch.Generator().manual_seed(1))
        gradients = []
        for half in (False, True):
            torch.manual_seed(2)
            conv = nn.Conv3d(16, 16, 3, padding=1)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = conv(image)
            (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
            gradients.append(conv.weight.grad)
        error = (gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()
        assert error < 0.03


# --- sampling ----------------------------------------------------------------------------


class Boxes:
    """Scans whose first channel is their own target, and whose second counts along x."""

    def __init__(self, n=3, shape=(20, 22, 24), boxes=((8, 9, 10, 6), (15, 5, 5, 2))) -> None:
        self.n, self.shape, self.boxes = n, shape, boxes
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.n

    def draw(self, index, rng, *, classes):
        self.asked.append(index)
        target = np.zeros((len(self.boxes) + 1, *self.shape), dtype=np.float32)
        for k, (*start, size) in enumerate(self.boxes, start=1):
            target[k, *(slice(a, a + size) for a in start)] = 1
        target = ndimage.uniform_filter(target, (0, 2, 2, 2))
        target[0] = 1 - target[1:].sum(axis=0)
        image = np.stack([target[1], *np.indices(self.shape), np.full(self.shape, index)])
        return (image + rng.normal(0, 1e-3)).astype(np.float32), target


def sampler(scans=None, **settings) -> PatchSampler:
    scans = Boxes() if scans is None else scans
    defaults = {
        "classes": [(0,), (1,), (2,)], "patch": (16, 16, 16), "batch_size": 4, "per_scan": 3,
        "flips": (0,), "augment": True, "random_state": 5,
    }  # fmt: skip
    return PatchSampler(scans, range(len(scans)), **(defaults | settings))


def test_a_batch_depends_on_the_step_alone():
    straight = dict(enumerate(map(sampler(per_scan=8), range(8))))  # a scan serves 4 steps
    jumping = sampler(per_scan=8)
    for step in (7, 2, 2, 5, 0, 6):
        for found in (jumping(step), sampler(per_scan=8)(step)):
            assert torch.equal(found[0], straight[step][0])
            assert torch.equal(found[1], straight[step][1])
    images = [image for image, _ in straight.values()]
    assert not any(torch.equal(a, b) for a, b in pairwise(images))
    assert not torch.equal(sampler(per_scan=8, random_state=6)(0)[0], images[0])


@pytest.mark.parametrize("shape", [(20, 22, 24), (9, 30, 12)])
@pytest.mark.parametrize("augment", [False, True])
def test_targets_are_shares_also_beyond_the_scan(shape, augment):
    scans = Boxes(shape=shape, boxes=((2, 9, 4, 5), (6, 5, 5, 2)))
    sample = sampler(scans, augment=augment, patch=(32, 16, 16))
    for step in range(4):
        image, target = sample(step)
        assert image.shape == (4, 5, 32, 16, 16)
        assert target.shape == (4, 3, 32, 16, 16)
        torch.testing.assert_close(target.sum(1), torch.ones(4, 32, 16, 16))
        assert target.min() > -1e-5
        # A patch of 32 sticks out of every scan; there it holds nothing.
        outside = target[:, 0] == 1
        assert outside.any(dim=(1, 2, 3)).all()
        if not augment:
            assert (image[:, 0][outside].abs() < 0.01).all()


def test_image_and_target_are_mirrored_and_bent_together():
    scans = Boxes()
    for flips in ((), (0, 1, 2)):
        sample = sampler(scans, flips=flips, augment=False)
        for step in range(6):
            image, target = sample(step)
            inside = target.sum(1) > 0
            gap = (image[:, 0] - target[:, 1])[inside].abs().max()
            assert gap < 0.01
    image, target = scans.draw(0, np.random.default_rng(0), classes=[])
    one = sampling._Scan(target[1:2], target)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        image, found = sampling._warped(one, np.array([10, 11, 12]), (16, 20, 18), rng)
        torch.testing.assert_close(image[0], found[1])


def test_patches_are_mirrored_along_the_axes_that_were_asked_for():
    seen = {axis: set() for axis in range(3)}
    sample = sampler(flips=(0, 2), augment=False, patch=(16, 16, 16))
    for step in range(12):
        image, _ = sample(step)
        for patch in image:
            for axis in range(3):
                # Channels 1 to 3 count the voxels of the scan along x, y and z.
                steps = patch[1 + axis].diff(dim=axis)
                inside = steps[steps.abs().round() == 1]  # 0 beyond the scan
                seen[axis].add(int(inside.round().mode().values))
    assert seen == {0: {1, -1}, 1: {1}, 2: {1, -1}}


def test_patches_go_where_structures_are():
    """Two structures, one of 1000 and one of 8 of the 110,592 voxels, are met equally often."""
    scans = Boxes(1, shape=(48, 48, 48), boxes=((4, 4, 4, 10), (40, 40, 40, 2)))
    sample = sampler(scans, augment=False, batch_size=50, per_scan=50, patch=(16, 16, 16))
    target = torch.cat([sample(step)[1] for step in range(8)])
    met = (target[:, 1:] > 0.3).flatten(2).any(-1).float().mean(0)
    # 45% are centred on each, give or take 4 standard errors; the rest may meet them by chance.
    assert (met > 0.45 - 4 * np.sqrt(0.25 / 400)).all()
    assert (met < 0.65).all()


@pytest.mark.parametrize(
    ("batch_size", "per_scan", "n_steps"), [(1, 4, 24), (3, 2, 3), (2, 1, 3), (4, 8, 12), (5, 1, 2)]
)
def test_all_scans_are_learned_from_in_every_round(batch_size, per_scan, n_steps):
    sample = sampler(
        Boxes(n=6), batch_size=batch_size, per_scan=per_scan, augment=False, flips=()
    )  # fmt: skip
    for round_ in range(1 if batch_size == 5 else 3):  # 5 of 6 at a time cross its end
        counts = np.zeros(6)
        for step in range(round_ * n_steps, (round_ + 1) * n_steps):
            image, _ = sample(step)
            np.add.at(counts, image[:, 4].flatten(1).amax(1).round().int().numpy(), 1)
        assert counts.sum() == n_steps * batch_size
        assert counts.min() > 0
        assert counts.max() <= 2 * counts.min()


@given(
    st.tuples(*[st.integers(-12, 20)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 8)] * 3),
)
@settings(max_examples=60)
def test_a_cut_is_that_of_a_padded_scan(center, size, shape):
    scan = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(1, *shape)
    found = sampling._cut(torch.from_numpy(scan), np.array(center), size)
    padded = np.pad(scan, ((0, 0), *[(40, 40)] * 3))
    start = [c - n // 2 + 40 for c, n in zip(center, size, strict=True)]
    span = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    np.testing.assert_array_equal(found.numpy(), padded[:, *span])


def test_an_unbent_patch_is_a_cut():
    class Still:
        def normal(self, mean, _, shape=None):
            return np.zeros(shape)

    rng = np.random.default_rng(0)
    scan = sampling._Scan(
        rng.normal(size=(1, 15, 14, 13)).astype(np.float32), np.ones((1, 15, 14, 13), np.float32)
    )
    center, size = np.array([6, 7, 5]), (5, 7, 9)
    found, _ = sampling._warped(scan, center, size, Still())
    torch.testing.assert_close(found, sampling._cut(scan.image, center, size), atol=1e-4, rtol=0)


# --- labelled scans ----------------------------------------------------------------------


def labelled(pairs, spacing=(1.0, 1.0, 1.0)) -> LabelledScans:
    return LabelledScans(
        pairs, labels={"stem": (1,), "left": (2,), "right": (3,)}, spacing_mm=spacing, n_channels=1,
        max_spacing_mm=1.2, keys=[f"p{i}" for i in range(len(pairs))],
    )  # fmt: skip


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (1.5, 1.2, 1.1)])
def test_targets_of_labelled_scans_are_shares_of_the_same_volume(spacing):
    pair = small_scan(affine=oblique((0.9, 1.0, 0.8), (5, 10, 0)))
    scans = labelled([pair], spacing)
    image, target = scans.draw(0, np.random.default_rng(0), classes=[])
    assert image.dtype == target.dtype == np.float32
    assert target.min() >= 0
    np.testing.assert_allclose(target.sum(axis=0), 1, atol=1e-6)
    voxel = np.prod(scans.grids[0].spacing)
    original = Grid(pair[1].shape, pair[1].affine)
    for k in (1, 2, 3):
        own = (np.asarray(pair[1].dataobj) == k).astype(float)
        # Boxes of 4 to 10 voxels a side, with borders at a half: they alone can be off.
        assert target[k].sum() * voxel == pytest.approx(own.sum() * 0.9 * 1.0 * 0.8, rel=0.05)
        place = centroid(target[k], scans.grids[0])
        np.testing.assert_allclose(place, centroid(own, original), atol=0.06)


def test_the_fingerprint_of_scans_knows_image_labels_and_place():
    image, labels = small_scan()
    moved = type(image)(image.dataobj, image.affine + np.eye(4, k=3) * 0.5)
    moved_labels = type(labels)(labels.dataobj, moved.affine)
    other = np.asarray(labels.dataobj).copy()
    other[0, 0, 0] = 1
    pairs = {
        "same": (image, labels), "image": (small_scan(1)[0], labels),
        "labels": (image, type(labels)(other, labels.affine)), "place": (moved, moved_labels),
    }  # fmt: skip
    found = {name: labelled([pair]).fingerprint for name, pair in pairs.items()}
    assert len(set(found.values())) == 4
    assert labelled([(image, labels)]).fingerprint == found["same"]


# --- simulated scans ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def fractions() -> list[np.ndarray]:
    return []


@pytest.fixture(scope="module")
def cisterns(fractions) -> SimulatedCisterns:
    """Two anatomies; what `class_fractions` gave for each is kept."""
    rasterise = simulation.class_fractions

    def kept(*arguments):
        fractions.append(rasterise(*arguments))
        return fractions[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "class_fractions", kept)
        return SimulatedCisterns(2, 3, spacing_mm=1.2, n_jobs=1)


def drawn(scans, index=0, seed=0, classes=CLASSES):
    return scans.draw(index, np.random.default_rng(seed), classes=classes)


def test_simulated_scans_follow_their_seeds(cisterns):
    again = SimulatedCisterns(2, 3, spacing_mm=1.2)
    other = SimulatedCisterns(1, 4, spacing_mm=1.2)
    assert len(again) == 2
    for found, expected in zip(drawn(again, 1, 8), drawn(cisterns, 1, 8), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(drawn(cisterns, 1, 9)[0], drawn(cisterns, 1, 8)[0])
    assert drawn(other)[1].shape != drawn(cisterns)[1].shape or not np.array_equal(
        drawn(other)[1], drawn(cisterns)[1]
    )
    assert len({*again.subject_ids, *other.subject_ids}) == 3
    assert again.fingerprint == cisterns.fingerprint != other.fingerprint


@pytest.mark.parametrize("seed", range(4))
def test_simulated_targets_are_the_fractions_of_the_phantom(cisterns, fractions, seed):
    """Whatever the look, and whatever clutter is added to the CSF."""
    for index in range(2):
        image, target = drawn(cisterns, index, seed)
        truth = to_label_fractions(fractions[index])
        for k, values in enumerate(CLASSES):
            expected = truth[..., list(map(int, values))].sum(axis=-1)
            np.testing.assert_allclose(target[k], expected, atol=0.015)  # stored in 255 steps
        np.testing.assert_allclose(target.sum(axis=0), 1, atol=1e-5)
        assert image.shape == (1, *target.shape[1:])
        assert np.isfinite(image).all()


def test_structures_that_nobody_asks_for_are_background(cisterns):
    whole, part = drawn(cisterns)[1], drawn(cisterns, classes=[(0,), (2, 3)])[1]
    np.testing.assert_allclose(part.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(part[1], whole[2])


@pytest.mark.parametrize("spacing", [0.5, 0.8, 1.5])
def test_clutter_keeps_away_from_structures(spacing):
    rng = np.random.default_rng(2)
    shape = tuple(int(24 / spacing) for _ in range(3))
    before = np.zeros((*shape, len(Tissue)), dtype=np.float32)
    middle = slice(int(10 / spacing), int(14 / spacing))
    before[middle, middle, middle, Tissue.NERVE_LEFT] = 0.6
    before[..., Tissue.CSF] = 1 - before.sum(axis=-1)
    structure = before[..., Tissue.NERVE_LEFT] > 0
    distance = ndimage.distance_transform_edt(~structure) * spacing
    touched = np.zeros(shape, dtype=bool)
    for _ in range(6):
        after = before.copy()
        simulation._add_clutter(after, rng, spacing)
        np.testing.assert_allclose(after.sum(axis=-1), 1, atol=1e-5)
        changed = np.abs(after - before).max(axis=-1) > 0
        assert distance[changed].min() >= 2.0
        touched |= changed
    assert touched.mean() > 0.1


def ball_in_csf(center=(1.3, -0.4, 0.8), radius=3.0, spacing=0.5, n=37):
    """A ball of nerve in CSF, off the grid; shares from many points in each voxel."""
    grid = Grid((n, n, n), oblique((spacing,) * 3, (4, -7, 12), (n, n, n)))
    center = corners(grid).mean(axis=0) + center
    share = np.zeros(grid.shape)
    for offset in np.indices((4, 4, 4)).reshape(3, -1).T / 4 - 0.375:
        moved = Grid(grid.shape, grid.affine.copy())
        moved.affine[:3, 3] += grid.affine[:3, :3] @ offset
        share += (np.linalg.norm(world(moved) - center, axis=-1) < radius) / 64
    shares = np.zeros((*grid.shape, len(Tissue)), dtype=np.float32)
    shares[..., Tissue.NERVE_LEFT], shares[..., Tissue.CSF] = share, 1 - share
    return shares, grid, center


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("look", [simulation._good_scan, simulation._any_scan])
def test_thick_slices_lie_where_the_thin_ones_did(monkeypatch, axis, factor, look):
    shares, grid, center = ball_in_csf()
    pooled, coarse = simulation._thick_slices(shares, grid, axis, factor)
    assert coarse.shape[axis] == grid.shape[axis] // factor
    np.testing.assert_allclose(coarse.spacing[axis], factor * 0.5)
    np.testing.assert_allclose(centroid(pooled[..., Tissue.NERVE_LEFT], coarse), center, atol=0.02)
    # And so does the image of them, without noise and fields.
    plain = {"contrast": "ciss", "snr": None, "bias": 0.0}
    monkeypatch.setattr(simulation, "draw_options", lambda *_: plain)
    render = simulation.render
    calm = {**plain, "motion": (0.0, 0.0), "ghost": 0.0, "banding": 0.0}
    monkeypatch.setattr(simulation, "render", lambda *a, **k: render(*a, **(k | calm)))
    for seed in range(3):
        pixels = look(pooled, coarse, ("ciss",), np.random.default_rng(seed))
        image = normalise(resample(pixels, coarse, grid))
        assert image.shape == grid.shape
        dark = np.clip((image.max() - image) / np.ptp(image), 0, 1)
        dark[dark < 0.05] = 0
        np.testing.assert_allclose(centroid(dark, grid), center, atol=0.1)


def test_two_channels_show_the_same_anatomy(monkeypatch):
    scans = SimulatedCisterns(1, 0, spacing_mm=1.2, contrasts=(("ciss",), ("tof",)))
    plain = {"snr": None, "bias": 0.0}
    monkeypatch.setattr(simulation, "draw_options", lambda _, kind: {"contrast": kind, **plain})
    monkeypatch.setattr(simulation, "_add_clutter", lambda *_: None)
    shares = scans._anatomies[0].shares()
    for seed in range(4):
        image, target = drawn(scans, 0, seed)
        parts = [shares[..., Tissue.CSF], *target[1:4]]
        ciss, tof = ([float((one * part).sum() / part.sum()) for part in parts] for one in image)
        # CSF is bright on CISS; what flows is bright on angiography.
        assert max(ciss[1:3]) < ciss[0]
        assert max(tof[:3]) < tof[3]


def test_no_anatomy_is_no_scan():
    with pytest.raises(FormatError, match="at least one"):
        SimulatedCisterns(0)


@pytest.mark.parametrize("name", ["good", "thin"])
@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_from_0_to_1(name, share):
    with pytest.raises(FormatError, match=f"{name}.*share from 0 to 1|share from 0 to 1.*{name}"):
        SimulatedCisterns(1, **{name: share})


@pytest.mark.parametrize("thin", [0.0, 1.0])
def test_vessels_at_nerves_are_thin_where_asked(thin, monkeypatch):
    scenes = []
    sample = simulation.sample_scene

    def kept(*arguments):
        scenes.append(sample(*arguments))
        return scenes[-1]

    monkeypatch.setattr(simulation, "sample_scene", kept)
    scans = SimulatedCisterns(8, 0, thin=thin, spacing_mm=2.0, n_jobs=1)
    nerves = [scene.params[side] for scene in scenes for side in ("left", "right")]
    vessels = [one["vessel_diameter_mm"] for one in nerves if one["vessel"]]
    touching = [one["compression"] != "none" for one in nerves]
    assert len(vessels) >= 8
    assert any(touching)
    assert (max(vessels) <= 1.2) == (thin == 1.0)
    assert scans.fingerprint != SimulatedCisterns(8, 0, thin=0.5, spacing_mm=2.0).fingerprint


# --- inference ---------------------------------------------------------------------------


class Voxelwise(nn.Module):
    """Three classes by intensity, and by the place along the first axis when asked."""

    def __init__(self, slope=0.0) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, image):
        ramp = torch.linspace(-1, 1, image.shape[2]).view(1, 1, -1, 1, 1) * self.slope
        return torch.cat([image, -image + ramp, 0.5 * image**2], dim=1)


def test_windows_give_what_the_whole_gives():
    image = torch.randn(1, 40, 23, 18, generator=torch.Generator().manual_seed(0))
    found = logits_of(Voxelwise(), image, patch=(16, 16, 16), overlap=0.25, amp=False)
    torch.testing.assert_close(found, Voxelwise()(image[None])[0], atol=1e-5, rtol=1e-5)


def inferred(network, image, flips, temperature=1.0):
    return infer(
        network, image, patch=(16, 16, 16), overlap=0.25, flips=flips, temperature=temperature,
        device=CPU, amp=False,
    )  # fmt: skip


def test_mirrored_passes_are_averaged_and_their_spread_is_told():
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32)
    single, nothing = inferred(Voxelwise(1.0), image, [()])
    np.testing.assert_array_equal(nothing, 0)
    turned = inferred(Voxelwise(1.0), image[:, ::-1].copy(), [()])[0][:, ::-1]
    both, spread = inferred(Voxelwise(1.0), image, [(), (0,)])
    np.testing.assert_allclose(both, (single + turned) / 2, atol=1e-6)
    np.testing.assert_allclose(spread, (np.abs(single - turned) / 2).max(axis=0), atol=1e-3)
    # One that knows no place doesn't disagree with itself.
    assert inferred(Voxelwise(), image, [(), (0,), (1,), (2,)])[1].max() < 1e-3
    np.testing.assert_allclose(both.sum(axis=0), 1, atol=1e-5)


def test_a_temperature_softens():
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32)
    logits = Voxelwise()(torch.from_numpy(image)[None])[0]
    found, _ = inferred(Voxelwise(), image, [()], temperature=2.0)
    np.testing.assert_allclose(found, (logits / 2).softmax(0).numpy(), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_logits_too_sharp_is_found(temperature):
    generator = torch.Generator().manual_seed(0)
    true = [2 * torch.randn(4, n, generator=generator) for n in (3000, 500)]
    targets = [logits.softmax(0) for logits in true]
    found = fit_temperature([temperature * logits for logits in true], targets)
    assert found == pytest.approx(temperature, rel=1e-3)


# --- sides -------------------------------------------------------------------------------


@given(angles, spacings, st.tuples(*[st.integers(4, 11)] * 3))
@settings(max_examples=40)
def test_left_is_where_x_is_less_than_at_the_middle_structure(degrees, spacing, place):
    grid = Grid((16, 15, 14), oblique(spacing, degrees))
    middle = np.zeros(grid.shape)
    middle[tuple(slice(a - 1, a + 2) for a in place)] = 0.9
    x = world(grid)[..., 0]
    offset = x - centroid((middle > 0.5).astype(float), grid)[0]
    clear = np.abs(offset) > 1e-6
    np.testing.assert_array_equal(left_of_midline(middle, grid)[clear], offset[clear] < 0)


def test_without_a_middle_structure_the_field_of_view_is_halved():
    grid = Grid((10, 4, 4), oblique(shape=(10, 4, 4)))
    for middle in (None, np.zeros(grid.shape), np.full(grid.shape, 0.1)):
        left = left_of_midline(middle, grid)
        assert left[:5].all()
        assert not left[5:].any()


def test_all_but_the_largest_part_of_a_label_is_stray():
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[1:4, 1:4, 1:4] = 2
    labels[4, 4, 4] = 2  # touches by a corner
    labels[8:10, 8:10, 8:10] = 2
    labels[11, 11, 11] = 3
    stray = keep_largest(labels, 2)
    assert stray.sum() == 8
    assert stray[8:10, 8:10, 8:10].all()
    assert not keep_largest(labels, 3).any()
    assert not keep_largest(labels, 7).any()


# --- checks ------------------------------------------------------------------------------


def test_a_scan_is_described_in_mm_and_standard_deviations():
    grid = Grid((30, 28, 26), oblique((0.5, 0.6, 0.8)))
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.2, grid.shape)
    probabilities = np.zeros((3, *grid.shape))
    probabilities[1, 5:10, 5:10, 5:10] = 0.95
    probabilities[0] = 1 - probabilities[1]
    image[5:10, 5:10, 5:10] -= 2
    found = describe(image, probabilities, np.full(grid.shape, 0.07), grid, ["stem", "vein"])
    assert found["stem_mm3"] == pytest.approx(0.95 * 125 * 0.5 * 0.6 * 0.8)
    assert found["stem_contrast"] == pytest.approx(-2, abs=0.1)
    assert found["stem_confidence"] == pytest.approx(0.95)
    assert found["noise"] == pytest.approx(0.2, rel=0.05)
    assert found["spread"] == pytest.approx(0.07)
    assert found["vein_mm3"] == 0
    assert np.isnan(found["vein_contrast"])
    assert np.isnan(found["vein_confidence"])


def test_ranges_hold_what_is_usual_and_judge_what_is_not():
    rng = np.random.default_rng(0)
    rows = [
        {"stem_mm3": np.exp(rng.normal(5, 0.2)), "stem_confidence": rng.uniform(0.8, 0.9),
         "noise": 0.1, "spread": rng.uniform(0.01, 0.02), "vein_contrast": np.nan}
        for _ in range(40)
    ]  # fmt: skip
    ranges = known_ranges(rows)
    assert set(ranges) == {"stem_mm3", "stem_confidence", "noise", "spread"}
    for row in rows:
        checks, flags = judge(row, ranges)
        assert checks["ok"].all()
        assert flags == []
    strange = {"stem_mm3": 1.0, "stem_confidence": 0.99, "noise": 0.01, "spread": 0.5}
    checks, flags = judge(strange, ranges)
    assert checks["ok"].to_dict() == {
        "stem_mm3": False, "stem_confidence": True, "noise": True, "spread": False
    }  # fmt: skip
    assert len(flags) == 2
    assert "stem volume (mm³) is 1, scans that the network knows have" in flags[0]
    # What can't be told is not ok, and no reason for words.
    checks, flags = judge({}, ranges)
    assert not checks["ok"].any()
    assert flags == []
    assert known_ranges(rows[:7]) == {}
    assert judge(strange, {})[0].empty


# --- settings ----------------------------------------------------------------------------


def test_settings_in_their_short_forms():
    assert as_patch(32) == (32, 32, 32)
    assert as_patch(np.array([16, 32, 48])) == (16, 32, 48)
    assert as_spacing(0.5) == (0.5, 0.5, 0.5)
    assert as_spacing([0.5, 0.5, 1]) == (0.5, 0.5, 1.0)
    assert as_spacing(None) is None
    assert as_structures({"stem": Label.BRAINSTEM, "nerve": [2, np.int64(3)]}) == {
        "stem": (1,), "nerve": (2, 3)
    }  # fmt: skip


def test_grids_at_an_angle_are_refused():
    image, _ = small_scan()
    tilted = type(image)(image.dataobj, oblique(degrees=(0, 0, 10)))
    with pytest.raises(GeometryError, match="at an angle"):
        LabelledScans(
            [((image, tilted), small_scan()[1])], labels={"stem": (1,), "blob": (2, 3)},
            spacing_mm=None, n_channels=2, max_spacing_mm=1.2, keys=["p"],
        )  # fmt: skip
