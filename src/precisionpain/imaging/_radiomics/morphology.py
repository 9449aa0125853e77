"""Shape of a mask in millimetres, and how intensity is spread over it (HCUG)."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes

__all__ = ["morphology"]

Floats = NDArray[np.float64]
Features = dict[str, float]


def morphology(
    mask: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    image: Floats,
    spacing: Sequence[float],
    wanted: AbstractSet[str],
) -> Features:
    """Return the morphological features, the costly ones only if wanted.

    Parameters
    ----------
    mask : ndarray of bool
        The shape.
    inside : ndarray of bool
        Its voxels whose intensity counts.
    image : ndarray of float
        Intensities.
    spacing : sequence of three floats
        Millimetres.
    wanted : set of str
        Names of features.
    """
    step = np.asarray(spacing, dtype=float)
    centres = np.argwhere(mask) * step
    vertices, triangles = _mesh(mask, step)
    volume, area = _mesh_volume(triangles), _mesh_area(triangles)
    compactness = 36 * np.pi * volume**2 / area**3
    x = image[inside]
    where = np.argwhere(inside) * step
    weight = x.sum()
    shift = (
        np.nan
        if weight == 0
        else np.linalg.norm(centres.mean(axis=0) - (where * x[:, None]).sum(axis=0) / weight)
    )
    hull = ConvexHull(vertices)
    corners = vertices[hull.vertices]
    axes = _principal_axes(centres)
    box = np.ptp(vertices, axis=0)
    features = {
        "morph_volume": volume,
        "morph_volume_voxel_counting": len(centres) * step.prod(),
        "morph_surface_area": area,
        "morph_surface_to_volume": area / volume,
        "morph_compactness_1": volume / (np.sqrt(np.pi) * area**1.5),
        "morph_compactness_2": compactness,
        "morph_spherical_disproportion": compactness ** (-1 / 3),
        "morph_sphericity": compactness ** (1 / 3),
        "morph_asphericity": compactness ** (-1 / 3) - 1,
        "morph_centre_of_mass_shift": shift,
        "morph_maximum_diameter": pdist(corners).max(),
        "morph_major_axis_length": axes[0],
        "morph_minor_axis_length": axes[1],
        "morph_least_axis_length": axes[2],
        "morph_elongation": axes[1] / axes[0] if axes[0] > 0 else np.nan,
        "morph_flatness": axes[2] / axes[0] if axes[0] > 0 else np.nan,
        "morph_volume_density_convex_hull": volume / hull.volume,
        "morph_area_density_convex_hull": area / hull.area,
        "morph_integrated_intensity": x.mean() * volume,
        **_densities("aabb", volume, area, *_box_size(box)),
        **_densities("aee", volume, area, *_ellipsoid_size(axes / 2)),
    }
    if any(name.endswith("_ombb") for name in wanted):
        features |= _densities("ombb", volume, area, *_box_size(_oriented_box(hull)))
    if any(name.endswith("_mvee") for name in wanted):
        features |= _densities("mvee", volume, area, *_ellipsoid_size(_enclosing_axes(corners)))
    if wanted & {"morph_morans_i", "morph_gearys_c"}:
        features |= _autocorrelation(image, inside, step)
    return {name: float(value) for name, value in features.items()}


def _densities(
    body: str, volume: float, area: float, body_volume: float, body_area: float
) -> Features:
    flat = not body_volume > 0
    return {
        f"morph_volume_density_{body}": np.nan if flat else volume / body_volume,
        f"morph_area_density_{body}": np.nan if flat else area / body_area,
    }


def _mesh(mask: NDArray[np.bool_], step: Floats) -> tuple[Floats, Floats]:
    """Return the vertices and triangles of the surface half-way between voxel centres."""
    padded = np.pad(mask, 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, 0.5)
    # Scaled here because marching_cubes would do so in single precision.
    vertices = vertices.astype(float) * step
    return vertices, vertices[faces]


def _mesh_volume(triangles: Floats) -> float:
    a, b, c = np.moveaxis(triangles - triangles.mean(axis=(0, 1)), 1, 0)
    return abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6


def _mesh_area(triangles: Floats) -> float:
    a, b, c = np.moveaxis(triangles, 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def _principal_axes(centres: Floats) -> Floats:
    """Four standard deviations along the principal axes of the voxel centres, longest first."""
    if len(centres) < 2:
        return np.full(3, np.nan)
    eigenvalues = np.linalg.eigvalsh(np.cov(centres.T))[::-1].copy()
    # Rounding leaves a tiny variance across a mask that is one voxel thick.
    eigenvalues[eigenvalues < 1e-12 * eigenvalues[0]] = 0
    return 4 * np.sqrt(eigenvalues)


def _box_size(edges: Floats) -> tuple[float, float]:
    a, b, c = edges
    return a * b * c, 2 * (a * b + b * c + a * c)


def _ellipsoid_size(semi: Floats) -> tuple[float, float]:
    """Volume and surface of an ellipsoid by IBSI's series of 20 Legendre polynomials.

    The reference values rest on this series. It takes both eccentricities against the longest
    axis, where Maas (1994) takes them against the shortest, and so falls short of the true
    surface by some per cent (4% on the digital phantom).
    """
    a, b, c = semi
    volume = 4 / 3 * np.pi * a * b * c
    if not volume > 0:
        return float(volume), np.nan
    alpha2, beta2 = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    # (αβ)^ν P_ν((α² + β²) / 2αβ) is a polynomial in α² and β², defined for a sphere too;
    # Bonnet's recursion, multiplied through.
    half_sum, product = (alpha2 + beta2) / 2, alpha2 * beta2
    last, term = 0.0, 1.0
    total = 0.0
    for v in range(21):
        total += term / (1 - 4 * v**2)
        last, term = term, ((2 * v + 1) * half_sum * term - v * product * last) / (v + 1)
    return float(volume), 4 * np.pi * a * b * total


def _oriented_box(hull: ConvexHull) -> Floats:
    """Edges of the smallest box that has a side flush with a facet of the convex hull.

    An approximation, as IBSI allows: the very smallest box need only touch the hull with
    edges. In the plane of the facet the smallest rectangle is found exactly (Freeman &
    Shapira 1975: it has a side flush with an edge).
    """
    points = hull.points[hull.vertices]
    normals = np.unique(np.round(hull.equations[:, :3], 9) + 0.0, axis=0)
    # Opposite facets lead to the same box.
    first = np.array([row[np.flatnonzero(row)[0]] for row in normals])
    normals = np.unique(normals * np.sign(first)[:, None], axis=0)
    best, smallest = np.full(3, np.nan), np.inf
    for normal in normals:
        height = np.ptp(points @ normal)
        basis = np.linalg.svd(normal[None])[2][1:]
        flat = points @ basis.T
        outline = flat[ConvexHull(flat).vertices]
        edges = np.roll(outline, -1, axis=0) - outline
        along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
        across = along[:, ::-1] * (-1, 1)
        width, depth = np.ptp(outline @ along.T, axis=0), np.ptp(outline @ across.T, axis=0)
        k = np.argmin(width * depth)
        if height * width[k] * depth[k] < smallest:
            smallest = height * width[k] * depth[k]
            best = np.array([height, width[k], depth[k]])
    return best


def _enclosing_axes(points: Floats, tolerance: float = 1e-4) -> Floats:
    """Semi-axes of the smallest ellipsoid around points (Khachiyan; Todd & Yıldırım 2007).

    `tolerance` bounds how far a point may lie outside, relative to the dimension.
    """
    n, d = points.shape
    lifted = np.column_stack([points - points.mean(axis=0), np.ones(n)])
    u = np.full(n, 1 / n)
    for _ in range(100_000):
        inverse = np.linalg.inv(lifted.T @ (lifted * u[:, None]))
        m = np.einsum("ij,jk,ik->i", lifted, inverse, lifted)
        far = int(m.argmax())
        near = int(np.where(u > 0, m, np.inf).argmin())
        # A step towards the farthest point, or away from one that holds too much weight.
        excess, deficit = m[far] - d - 1, d + 1 - m[near]
        if max(excess, deficit) <= tolerance * (d + 1):
            break
        k = far if excess > deficit else near
        change = (m[k] - d - 1) / ((d + 1) * (m[k] - 1))
        if k == near:
            change = max(change, -u[k] / (1 - u[k]))
        u *= 1 - change
        u[k] += change
        u[u < 1e-15] = 0
    centre = points.T @ u
    spread = (points - centre).T @ ((points - centre) * u[:, None]) * d
    return np.sqrt(np.linalg.eigvalsh(spread))[::-1] * np.sqrt(1 + tolerance)


def _autocorrelation(image: Floats, inside: NDArray[np.bool_], step: Floats) -> Features:
    """Moran's I and Geary's C with weights 1/distance, over all pairs by convolution.

    The Fourier transform sums over all pairs at once: exact, and of the order of the box
    instead of the square of the voxels.
    """
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(inside))
    inside = inside[box]
    z = np.where(inside, image[box] - image[box][inside].mean(), 0.0)
    n = int(inside.sum())
    square = float((z**2).sum())
    if n < 2 or square == 0 or np.ptp(image[box][inside]) == 0:
        return {"morph_morans_i": np.nan, "morph_gearys_c": np.nan}
    shape = [next_fast_len(2 * size - 1, real=True) for size in z.shape]
    lag = [
        s * np.minimum(np.arange(length), length - np.arange(length))
        for s, length in zip(step, shape, strict=True)
    ]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*lag, indexing="ij", sparse=True)))
    distance[0, 0, 0] = np.inf
    kernel = rfftn(1 / distance)
    corner = tuple(slice(size) for size in z.shape)

    def weighted(values: Floats) -> Floats:
        return irfftn(rfftn(values, shape) * kernel, shape)[corner]

    weights = weighted(inside.astype(float))
    total = float(weights[inside].sum())
    cross = float((z * weighted(z)).sum())
    spread = 2 * float((z**2 * weights).sum()) - 2 * cross
    return {
        "morph_morans_i": n / total * cross / square,
        "morph_gearys_c": (n - 1) / (2 * total) * spread / square,
    }
