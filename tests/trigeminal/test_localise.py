"""Where in a scan the cistern lies: geometry, and the synthetic heads to learn from."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

torch = pytest.importorskip("torch")

from precisionpain.trigeminal._phantom.tissue import Tissue  # noqa: E402
from precisionpain.trigeminal._segmentation import head, localise  # noqa: E402
from precisionpain.trigeminal._segmentation.grids import Grid, working_grid  # noqa: E402
from precisionpain.trigeminal._segmentation.localise import (  # noqa: E402
    Localiser,
    crop_box,
    find_cistern,
    train_localiser,
)


@pytest.fixture(scope="module")
def scene():
    return head.draw_scene(np.random.default_rng(11))


def grid_of(shape, spacing, turn_deg=(0.0, 0.0, 0.0), origin=(-40.0, 17.0, 5.0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return Grid(tuple(shape), affine)


def places(grid):
    index = np.stack(np.indices(grid.shape), axis=-1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


DEPTH = 20.0


def with_peak(grid, *centres, sigma=4.0):
    """Brightness whose exponential is a Gaussian round each centre."""
    squares = [((places(grid) - centre) ** 2).sum(-1) for centre in centres]
    peaks = np.logaddexp.reduce([-square / (2 * sigma**2) for square in squares])
    return np.maximum(peaks, -DEPTH).astype(np.float32)


class Bright(torch.nn.Module):
    """Brightness as logits, whatever its scale was: stands for a trained network."""

    def __init__(self, highest=5.0):
        super().__init__()
        self.highest = highest

    def forward(self, image):
        pooled = torch.nn.functional.avg_pool3d(image.float(), 2)
        share = (pooled - image.amin()) / (image.amax() - image.amin())
        return (self.highest - DEPTH * (1 - share)).expand(-1, 2, -1, -1, -1)


# --- crop_box -----------------------------------------------------------------------------


def test_a_box_is_the_voxels_whose_middle_it_holds():
    grid = grid_of((40, 36, 30), (0.7, 1.1, 0.9), (8, -12, 15))
    # A tenth of a micron off, so that no voxel's middle lies on a face.
    centre = places(grid)[20, 15, 12] + 1e-4
    size = (11.3, 13.9, 7.7)
    start, shape = crop_box(grid, centre, size)
    axes = grid.affine[:3, :3] / grid.spacing
    inside = (np.abs((places(grid) - centre) @ axes) <= np.array(size) / 2).all(-1)
    expected = np.zeros(grid.shape, dtype=bool)
    expected[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))] = True
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize(
    ("centre", "start", "shape"),
    [
        ((10, 10, 10), (6, 5, 7), (9, 11, 7)),
        ((1, 10, 19), (0, 5, 16), (6, 11, 4)),
        ((-30, 10, 50), (0, 5, 19), (1, 11, 1)),  # outside: the nearest edge
    ],
)
def test_a_box_is_cut_at_the_edge_of_the_scan(centre, start, shape):
    found = crop_box(Grid((20, 20, 20), np.eye(4)), np.array(centre), (8.0, 10.0, 6.0))
    assert found[0].tolist() == list(start)
    assert found[1] == shape


def test_a_box_as_large_as_the_scan_is_the_scan():
    grid = grid_of((9, 12, 7), (0.5, 0.6, 0.8), (5, 5, 5))
    middle = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    start, shape = crop_box(grid, middle, (500.0, 500.0, 500.0))
    assert start.tolist() == [0, 0, 0]
    assert shape == grid.shape


# --- find_cistern, with a network whose answer is known -------------------------------------


@pytest.mark.parametrize(
    ("shape", "spacing", "turn"),
    [
        ((200, 170, 130), (0.3, 0.3, 0.35), (0, 0, 0)),
        ((90, 80, 70), (0.8, 0.8, 1.2), (20, 0, 0)),
        ((60, 70, 40), (1.2, 1.0, 1.1), (-12, 9, -14)),
        ((40, 44, 20), (2.0, 2.0, 3.0), (3, -8, 20)),
    ],
)
def test_the_centre_is_found_within_half_a_millimetre(shape, spacing, turn):
    grid = grid_of(shape, spacing, turn)
    true = grid.affine[:3, :3] @ (np.array(shape) * [0.53, 0.44, 0.58]) + grid.affine[:3, 3]
    found, confidence = find_cistern(Bright(), with_peak(grid, true), grid)
    assert np.linalg.norm(found - true) < 0.5
    assert confidence > 0.9


def test_the_order_of_the_axes_does_not_move_the_centre():
    grid = grid_of((50, 56, 40), (1.0, 1.2, 0.9), (9, -6, 12))
    true = grid.affine[:3, :3] @ np.array([30.2, 21.7, 15.1]) + grid.affine[:3, 3]
    image = nib.Nifti1Image(with_peak(grid, true), grid.affine)
    plain, confidence = find_cistern(Bright(), image.get_fdata(), grid)
    for code in itertools.islice(itertools.product("RL", "AP", "SI"), 8):
        for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
            target = "".join(code[i] for i in order)
            stored = image.as_reoriented(
                nib.orientations.ornt_transform(
                    nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(target)
                )
            )
            assert "".join(nib.aff2axcodes(stored.affine)) == target
            back = nib.as_closest_canonical(stored)
            again = Grid(back.shape, back.affine)
            found, sure = find_cistern(Bright(), back.get_fdata(), again)
            np.testing.assert_allclose(found, plain, atol=1e-3)
            assert sure == pytest.approx(confidence, abs=1e-4)


def test_a_cistern_at_the_edge_is_found_where_it_is():
    grid = grid_of((40, 40, 40), (1.0, 1.0, 1.0))
    data = with_peak(grid, places(grid)[2, 20, 20])
    found, _ = find_cistern(Bright(), data, grid)
    assert np.linalg.norm(found - places(grid)[2, 20, 20]) < 3.0


def test_two_places_halve_the_confidence_and_none_leaves_nothing():
    grid = grid_of((80, 40, 40), (1.0, 1.0, 1.0))
    one, two = places(grid)[16, 20, 20], places(grid)[64, 20, 20]
    both = with_peak(grid, one, two)
    found, confidence = find_cistern(Bright(), both, grid)
    assert min(np.linalg.norm(found - one), np.linalg.norm(found - two)) < 1.0
    assert confidence == pytest.approx(0.5, abs=0.05)
    _, confidence = find_cistern(Bright(highest=-15.0), both, grid)
    assert confidence < 1e-3


class Maps(torch.nn.Module):
    """Fixed maps, whatever the image: one place, and two nerves."""

    def __init__(self, grid, data, centre, nerves):
        super().__init__()
        _, self.heat = localise._prepare(data, grid)
        rows = [with_peak(self.heat, centre), with_peak(self.heat, *nerves)]
        self.maps = torch.from_numpy(np.stack(rows)[None]) + 5

    def forward(self, image):
        assert tuple(2 * n for n in self.maps.shape[2:]) == tuple(image.shape[2:])
        return self.maps


@pytest.mark.parametrize(("offset", "taken"), [(3.0, True), (12.0, False)])
def test_the_nerves_decide_unless_they_contradict(offset, taken):
    grid = grid_of((50, 44, 40), (2.0, 2.0, 2.0), (8, -5, 12))
    data = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    coarse = places(grid)[24, 20, 22]
    middle = coarse + offset * np.array([0.0, 0.6, -0.8])
    apart = np.array([15.0, 0.0, 0.0])
    nerves = [middle + apart, middle - apart]
    found, _ = find_cistern(Maps(grid, data, coarse, nerves), data, grid)
    assert np.linalg.norm(found - (middle if taken else coarse)) < 0.5


# --- resampling -----------------------------------------------------------------------------


def test_pooling_keeps_what_is_linear():
    grid = grid_of((90, 70, 50), (0.4, 0.7, 1.3), (4, -7, 11))
    coarse = working_grid(grid, (2.0, 2.0, 2.0))
    slope = np.array([0.3, -0.2, 0.5])
    pooled = localise._pool(places(grid) @ slope, grid, coarse)
    assert pooled.shape == coarse.shape
    # At the rim the weights are cut off; elsewhere a place is right to a tenth of a mm.
    inner = (slice(1, -1),) * 3
    atol = 0.1 * np.linalg.norm(slope)
    np.testing.assert_allclose(pooled[inner], (places(coarse) @ slope)[inner], atol=atol)
    flat = localise._pool(np.full(grid.shape, 7, dtype=np.int16), grid, coarse)
    np.testing.assert_allclose(flat, 7, rtol=1e-5)


def test_pooling_averages_noise_away():
    grid = grid_of((120, 120, 120), (0.5, 0.5, 0.5))
    coarse = working_grid(grid, (2.0, 2.0, 2.0))
    noise = np.random.default_rng(0).standard_normal(grid.shape)
    # Eight voxels count, by a triangle: 0.5, 1.5, 2.5, 3.5 and back, sixteenths.
    expected = (2 * (0.5**2 + 1.5**2 + 2.5**2 + 3.5**2) / 16**2) ** 1.5
    assert localise._pool(noise, grid, coarse).std() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("shape", [(8, 8, 8), (35, 28, 24), (41, 125, 100), (24, 24, 24)])
def test_the_input_suits_the_network(shape):
    grid = grid_of(shape, (2.0, 2.0, 2.0), (10, 5, 0))
    image = np.random.default_rng(0).random(shape)
    padded, heat = localise._prepare(image, grid)
    assert all(n % 16 == 0 for n in padded.shape)
    # Fewer voxels along the first axis of the deepest level meet a fault of oneDNN.
    assert padded.shape[0] >= 48
    assert min(np.subtract(padded.shape, shape)) >= 8
    assert heat.shape == tuple(n // 2 for n in padded.shape)
    # The image lies in the middle, and so does what the output's grid says.
    before = np.array([(n - m) // 2 for n, m in zip(padded.shape, shape, strict=True)])
    at = np.linalg.solve(grid.affine, heat.affine @ [1, 2, 3, 1])[:3] + before
    np.testing.assert_allclose(at, np.array([1, 2, 3]) * 2 + 0.5)


# --- synthetic heads ------------------------------------------------------------------------


def test_the_centre_is_that_of_the_box_round_both_nerves(scene):
    ends = np.concatenate([side.nerve.curve.points for side in scene.sides.values()])
    at = np.concatenate([side.nerve.curve.s for side in scene.sides.values()])
    outside = ends[at > -1]
    middle = (outside.min(axis=0) + outside.max(axis=0)) / 2
    np.testing.assert_allclose(head.scene_centre(scene), middle)


def test_a_seed_gives_one_head(scene):
    first, again, other = (
        head.simulate_head(np.random.default_rng(seed), scene=scene) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1].affine, again[1].affine)
    np.testing.assert_array_equal(first[2], again[2])
    assert not np.allclose(first[2], other[2])


@pytest.mark.parametrize("bare", [False, True])
def test_the_nerves_lie_round_the_centre(scene, bare, monkeypatch):
    """Seen without anything else, their two middles lie at equal distances from it."""
    seen = np.zeros(len(Tissue), dtype=np.float32)
    seen[Tissue.NERVE_LEFT], seen[Tissue.NERVE_RIGHT] = 1, 1000
    monkeypatch.setattr(head, "_draw_levels", lambda rng: (np.zeros(12, np.float32), seen))
    monkeypatch.setattr(head, "_scan", lambda rng, image: image)
    tried = 0
    for seed in range(40):
        image, grid, centre = head.simulate_head(
            np.random.default_rng(seed), scene=scene, bare=bare
        )
        at = np.linalg.solve(grid.affine, np.append(centre, 1))[:3]
        if (np.minimum(at, np.array(grid.shape) - 1 - at) < (15, 11, 9)).any():
            continue  # a nerve may be cut off
        tried += 1
        right = np.floor(image + 1e-3) // 1  # at least a thousandth of right nerve
        share = {"right": image * (right >= 1), "left": image * (image < 1)}
        middle = {
            name: (places(grid) * part[..., None]).sum((0, 1, 2)) / part.sum()
            for name, part in share.items()
        }
        across = middle["right"] - middle["left"]
        assert across @ grid.affine[:3, 0] > 0  # RAS: x grows to the right
        assert 20 < np.linalg.norm(across) < 45
        between = (middle["right"] + middle["left"]) / 2
        assert np.linalg.norm(between - centre) < 3.0
        if tried == 3:
            return
    pytest.fail("no field of view was large enough")


def test_the_field_of_view_holds_the_centre_or_is_well_away(scene):
    for seed in range(20):
        inside = seed % 2 == 0
        image, grid, centre = head.simulate_head(
            np.random.default_rng([3, seed]), scene=scene, inside=inside
        )
        assert image.shape == grid.shape
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        np.testing.assert_allclose(grid.spacing, head.SPACING_MM)
        assert nib.aff2axcodes(grid.affine) == ("R", "A", "S")
        at = np.linalg.solve(grid.affine, np.append(centre, 1))[:3]
        beyond = np.maximum(-0.5 - at, at - np.array(grid.shape) + 0.5).max() * head.SPACING_MM
        assert beyond < 0 if inside else beyond >= 15 - 1e-6


def test_heads_range_from_the_box_to_the_whole_head(scene):
    sizes = np.array(
        [
            head._view(np.random.default_rng([4, seed]), scene, True, False)[0].shape
            for seed in range(300)
        ]
    )
    mm = np.sort(sizes * head.SPACING_MM, axis=1)
    assert (mm[:, 0] < 45).mean() > 0.1  # slabs
    assert (mm[:, 2] <= 112).mean() > 0.1  # boxes
    assert (mm[:, 0] > 150).mean() > 0.1  # whole heads


def test_smooth_noise_has_unit_variance():
    rng = np.random.default_rng(0)
    for knots in (7.0, 10.5, 16.0):
        field = head.smooth_noise(rng, (120, 110, 100), knots)
        assert field.shape == (120, 110, 100)
        assert field.std() == pytest.approx(1, rel=0.1)


# --- training -------------------------------------------------------------------------------


def test_two_steps_of_training_change_the_weights_and_repeat():
    first, again = (
        train_localiser(2, random_state=3, batch_size=1, n_scenes=1, progress=False)
        for _ in range(2)
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        start = Localiser().state_dict()
    assert not first.training
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert torch.isfinite(tensor).all()
    moved = [not torch.equal(start[name], t) for name, t in first.state_dict().items()]
    assert np.mean(moved) > 0.9


def test_the_network_halves_the_resolution_and_fits_in_a_file():
    network = Localiser()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 48, 32, 64)).shape == (1, 2, 24, 16, 32)
    assert 2 * sum(p.numel() for p in network.parameters()) < 1_500_000
