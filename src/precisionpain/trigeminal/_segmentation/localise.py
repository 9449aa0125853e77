"""Where in a scan the cistern lies: a small network at 2 mm that learned on synthetic heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..._learning.loop import Recipe, train
from .._phantom.anatomy import Scene
from .grids import Grid, normalise, working_grid
from .head import SPACING_MM, SyntheticHead, draw_head, draw_scene

__all__ = ["Localiser", "crop_box", "find_cistern", "train_localiser"]

Array = NDArray[Any]
Example = tuple[Tensor, Tensor, Tensor]

_STREAM = 20_417  # keeps the heads of training apart from what the same seed gives elsewhere
_BORDER = 4
"""Voxels round the scan, so that the peak of a cistern at its edge is whole."""
_SIGMA_MM = 3.0
_BALL_MM = 12.0
_NERVES_MM = 34.0
_SHIFT_MM = 7.0
_PER_MM = 0.2
_MULTIPLE = 16
# Over a first axis of two voxels, oneDNN 3 (AVX-512) gives wrong bfloat16 gradients of a 3D
# convolution, some of them infinite. So the deepest level has three.
_LEAST = (3, 2, 2)


class Localiser(nn.Module):
    """A U-Net whose output has half the resolution of its input.

    Parameters
    ----------
    widths : tuple of int, default (16, 32, 48, 64)
        Channels at a half, a quarter, … of the resolution.

    Notes
    -----
    Takes (n, 1, x, y, z), each size a multiple of 16, at least 32; gives logits
    (n, 2, x/2, y/2, z/2). A softmax over the voxels of a map and one more logit of 0, which
    stands for "not in here", is the probability of a place: in the first map that of the
    centre, in the second that of a point picked from either nerve. The first one is easy to
    learn for the large things around, the second one for the nerves themselves; its mean is
    the better centre.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _block(before, width, 2) for before, width in zip((1, *widths), widths, strict=False)
        )
        pairs = list(zip(widths[1:], widths, strict=False))[::-1]
        self.across = nn.ModuleList(nn.Conv3d(below, width, 1) for below, width in pairs)
        self.up = nn.ModuleList(_block(width, width, 1) for _, width in pairs)
        self.last = nn.Conv3d(widths[0], 2, 1)
        # At first no voxel is likelier than any other, nor all together than "not in here".
        nn.init.constant_(self.last.bias, -11.0)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the centre's and of the nerves' place."""
        levels = []
        for block in self.down:
            image = block(image)
            levels.append(image)
        found = levels.pop()
        for across, up in zip(self.across, self.up, strict=True):
            wider = functional.interpolate(across(found), scale_factor=2.0, mode="nearest")
            found = up(wider + levels.pop())
        logits: Tensor = self.last(found)
        return logits


def _block(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(n_in, n_out, 3, stride, 1),
        nn.InstanceNorm3d(n_out, affine=True),
        nn.LeakyReLU(0.1),
        nn.Conv3d(n_out, n_out, 3, 1, 1),
        nn.InstanceNorm3d(n_out, affine=True),
        nn.LeakyReLU(0.1),
    )


def train_localiser(
    n_steps: int = 430,
    random_state: int = 0,
    device: str = "cpu",
    *,
    batch_size: int = 3,
    n_scenes: int = 80,
    progress: bool = True,
) -> nn.Module:
    """Train the network on synthetic heads, some of which don't hold the cistern.

    Parameters
    ----------
    n_steps : int, default 430
        Steps of the optimiser.
    random_state : int, default 0
        Seed of heads and weights.
    device : str, default "cpu"
        Where.
    batch_size : int, default 3
        Heads in a step.
    n_scenes : int, default 80
        Anatomies of the cistern, each of which is in many heads.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    scenes = [
        draw_scene(np.random.default_rng([_STREAM, random_state, i])) for i in range(n_scenes)
    ]

    def batch_of(step: int) -> list[Example]:
        rng = np.random.default_rng([_STREAM, random_state, n_scenes, step])
        return [example for _ in range(batch_size) for example in _examples(rng, scenes)]

    def loss_of(network: nn.Module, batch: list[Example]) -> Tensor:
        # Heads differ in size, so each goes through on its own.
        return torch.stack([_loss(network(image), *truth) for image, *truth in batch]).mean()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        network = Localiser()
    warmup = min(20, n_steps // 5)
    recipe = Recipe(learning_rate=3e-3, n_steps=n_steps, warmup=warmup, ema=0.99, amp=True)
    train(network, batch_of, loss_of, recipe, seed=random_state, device=device, progress=progress)
    return network


def _examples(rng: np.random.Generator, scenes: list[Scene]) -> Iterator[Example]:
    """Yield a head and, where there is room for it, a box cut out of it round the cistern."""
    scene = scenes[int(rng.integers(len(scenes)))]
    inside, bare = rng.random() < 0.75, rng.random() < 0.2
    head = draw_head(rng, scene=scene, inside=inside, bare=bare and inside)
    yield _example(head.image, head.grid, head, inside)
    size = rng.uniform((60, 46, 38), (110, 90, 80))
    if inside and head.image.size * SPACING_MM**3 > 2 * np.prod(size):
        axes = head.grid.affine[:3, :3] / SPACING_MM
        middle = head.centre_mm + axes @ (rng.uniform(-0.3, 0.3, 3) * size)
        start, shape = crop_box(head.grid, middle, tuple(size))
        box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
        yield _example(head.image[box], head.grid.cut(start, shape), head, inside)


def _example(image: Array, grid: Grid, head: SyntheticHead, inside: bool) -> Example:
    """Return an image, both maps as they should be, and places in mm from the centre."""
    padded, heat = _prepare(image, grid)
    places = _places(heat).reshape(-1, 3)
    target = np.zeros((2, len(places) + 1), dtype=np.float32)
    target[:, -1] = not inside
    if inside:
        # Both nerves count the same, however long they are.
        for row, tracks in enumerate(((head.centre_mm[None],), head.courses_mm)):
            for track in tracks:
                peak = _bumps(places, track)
                target[row, :-1] += peak / len(tracks)
        target /= target.sum(axis=1, keepdims=True)
    away = (places - head.centre_mm).astype(np.float32)
    return torch.from_numpy(padded[None, None]), torch.from_numpy(target), torch.from_numpy(away)


def _bumps(places: Array, track: Array) -> NDArray[np.float64]:
    """Return the sum of Gaussians along a track, scaled to a sum of 1."""
    bumps = np.zeros(len(places))
    reach = 4 * _SIGMA_MM
    close = ((places > track.min(axis=0) - reach) & (places < track.max(axis=0) + reach)).all(-1)
    square = ((places[close, None] - track) ** 2).sum(-1)
    bumps[close] = np.exp(-square / (2 * _SIGMA_MM**2)).sum(-1)
    scaled: NDArray[np.float64] = bumps / max(bumps.sum(), 1e-12)
    return scaled


def _loss(logits: Tensor, target: Tensor, away: Tensor) -> Tensor:
    """Return how far the maps diverge from the targets, and their means from the centre."""
    log_p = _log_probability(logits)
    loss = (torch.xlogy(target, target) - target * log_p).sum()
    if target[0, -1] == 0:
        square = (away**2).sum(-1)
        for p, ball in zip(log_p[:, :-1].exp(), (2 * _BALL_MM, _NERVES_MM), strict=True):
            near = p * (square <= ball**2)
            loss = loss + _PER_MM * torch.linalg.vector_norm(near @ away / (near.sum() + 1e-3))
    return loss


def _log_probability(logits: Tensor) -> Tensor:
    """Return log-probability of every voxel of both maps and, last, of "not in here"."""
    flat = logits[0].float().flatten(1)
    return torch.cat([flat, flat.new_zeros(2, 1)], dim=1).log_softmax(1)


def find_cistern(network: nn.Module, data: Array, grid: Grid) -> tuple[NDArray[np.float64], float]:
    """Find the centre of the box round both trigeminal nerves.

    Parameters
    ----------
    network : torch.nn.Module
        A trained `Localiser`.
    data : numpy.ndarray of shape (nx, ny, nz)
        A T2-weighted scan of a head or of a part of it, finite, axes nearest to RAS+.
    grid : Grid
        Where its voxels lie.

    Returns
    -------
    centre_mm : numpy.ndarray of shape (3,)
        RAS+.
    confidence : float
        Probability that the centre lies within 12 mm of there. Near 0 where the scan doesn't
        hold the cistern.
    """
    coarse = working_grid(grid, (SPACING_MM,) * 3)
    padded, heat = _prepare(_pool(data, grid, coarse), coarse)
    device = next(iter(network.parameters()), torch.zeros(0)).device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        logits = network(torch.from_numpy(padded[None, None]).to(device))
    chance, course = _log_probability(logits).exp()[:, :-1].cpu().numpy().astype(float)
    places = _places(heat).reshape(-1, 3)
    centre = places[int(chance.argmax())]
    near = chance
    for _ in range(3):  # the ball follows the mean of what is in it
        near = chance * (((places - centre) ** 2).sum(-1) <= _BALL_MM**2)
        centre = near @ places / near.sum()
    around = course * (((places - centre) ** 2).sum(-1) <= _NERVES_MM**2)
    middle = around @ places / max(around.sum(), 1e-12)
    # If it were farther off, one of the nerves would have been missed.
    if np.linalg.norm(middle - centre) <= _SHIFT_MM:
        centre = middle
    return centre, float(near.sum())


def crop_box(
    grid: Grid, centre_mm: Array, size_mm: tuple[float, float, float]
) -> tuple[NDArray[np.intp], tuple[int, int, int]]:
    """Return the voxels of a box, less what lies outside the scan.

    Parameters
    ----------
    grid : Grid
        Of the scan.
    centre_mm : ndarray of shape (3,)
        RAS+.
    size_mm : tuple of three floats
        Along the axes of the scan.

    Returns
    -------
    start : numpy.ndarray of shape (3,)
        First voxel.
    shape : tuple of three ints
        Voxels along each axis; one at least, at the edge that is nearest to the centre.
    """
    at = np.linalg.solve(grid.affine, np.append(np.asarray(centre_mm, dtype=float), 1))[:3]
    whole = np.asarray(grid.shape)
    half = np.asarray(size_mm, dtype=float) / grid.spacing / 2
    # A voxel belongs to the box when its middle does.
    start = np.clip(np.ceil(at - half - 1e-6), 0, whole - 1).astype(np.intp)
    stop = np.clip(np.floor(at + half + 1e-6) + 1, start + 1, whole).astype(np.intp)
    size = stop - start
    return start, (int(size[0]), int(size[1]), int(size[2]))


def _prepare(image: Array, grid: Grid) -> tuple[NDArray[np.float32], Grid]:
    """Return a 2 mm image that is ready for the network, and the grid of its output."""
    values = normalise(image)
    sizes = np.asarray(image.shape)
    full = np.maximum(-(-(sizes + 2 * _BORDER) // _MULTIPLE), _LEAST) * _MULTIPLE
    before = (full - sizes) // 2
    around = np.stack([before, full - sizes - before], axis=1)
    padded = np.pad(values, around, constant_values=values.min())
    # A voxel of the output covers two of the input along each axis.
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ (0.5 - before)
    affine[:3, :3] *= 2
    half = full // 2
    return padded, Grid((int(half[0]), int(half[1]), int(half[2])), affine)


def _places(grid: Grid) -> NDArray[np.float64]:
    index: Array = np.moveaxis(np.indices(grid.shape), 0, -1)
    places: NDArray[np.float64] = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return places


def _pool(data: Array, grid: Grid, coarse: Grid) -> NDArray[np.float32]:
    """Resample an image to other voxels that begin at the same corner.

    Triangular weights as wide as the larger voxel: a mean over what a larger voxel covers,
    linear interpolation between smaller ones. Unlike blurring a scan of 10^8 voxels, this is
    three products of matrices.
    """
    pooled = np.asarray(data, dtype=np.float32)
    for n, ratio in zip(coarse.shape, coarse.spacing / grid.spacing, strict=True):
        # Contracts the first axis and puts the result last: after three, all are in order.
        away = (np.arange(n)[:, None] + 0.5) * ratio - (np.arange(pooled.shape[0]) + 0.5)
        weights = np.maximum(1 - np.abs(away) / max(ratio, 1), 0).astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        pooled = np.tensordot(pooled, weights, axes=(0, 1))
    return np.ascontiguousarray(pooled)
