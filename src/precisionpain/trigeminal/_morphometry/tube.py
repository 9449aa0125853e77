"""A tube with a smooth wall, fitted to what voxels say of inside and outside.

The wall is the radial function r(s, θ) around a centreline. Its square's inverse,
g = r⁻², is expanded in B-splines along s and harmonics of θ, so that an elliptical section is
exact with two harmonics. The model predicts for each voxel the share that lies in the tube,
and penalised likelihood compares it with partial volumes (least squares) or with a mask (a
voxel belongs to the mask when its largest share does).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import ndtr, ndtri

from .curve import Curve, basis, knots, roughness, slope_penalty

__all__ = ["Tube", "Voxels", "fit_tube"]


@dataclasses.dataclass(frozen=True)
class Voxels:
    """What is known of some voxels.

    Parameters
    ----------
    centres : numpy.ndarray of shape (n, 3)
        World coordinates, mm.
    share : numpy.ndarray of shape (n,)
        Share of the voxel in the structure: 0 to 1, or 0 and 1 for a mask.
    threshold : numpy.ndarray of shape (n,)
        The share at which a mask flips: a half, or less where three structures meet.
    axes : numpy.ndarray of shape (3, 3)
        Edges of a voxel as columns, mm.
    mask : bool
        Whether `share` comes from a mask.
    """

    centres: np.ndarray
    share: np.ndarray
    threshold: np.ndarray
    axes: np.ndarray
    mask: bool


@dataclasses.dataclass(frozen=True)
class Tube:
    """A fitted tube.

    Parameters
    ----------
    curve : Curve
        Centreline.
    knots : numpy.ndarray
        Knots along s.
    order : int
        Highest harmonic.
    coefficients : numpy.ndarray of shape (n_splines, 2 · order + 1)
        Of r0² / r².
    scale : float
        r0, mm.
    covariance : numpy.ndarray
        Of the coefficients, raveled.
    """

    curve: Curve
    knots: np.ndarray
    order: int
    coefficients: np.ndarray
    scale: float
    covariance: np.ndarray

    def radius(
        self, s: np.ndarray, theta: np.ndarray, coefficients: np.ndarray | None = None
    ) -> np.ndarray:
        """Return r at paired s and θ, mm."""
        c = self.coefficients if coefficients is None else coefficients
        g = np.einsum("nk,kf,nf->n", basis(s, self.knots), c, harmonics(theta, self.order))
        return self.scale / np.sqrt(np.maximum(g, _FLOOR))

    def grid(
        self, s: np.ndarray, theta: np.ndarray, coefficients: np.ndarray | None = None
    ) -> np.ndarray:
        """Return r on the grid s × θ, mm; draws of coefficients give one more leading axis."""
        c = self.coefficients if coefficients is None else coefficients
        g = basis(s, self.knots) @ c @ harmonics(theta, self.order).T
        return self.scale / np.sqrt(np.maximum(g, _FLOOR))

    def surface(
        self, s: np.ndarray, theta: np.ndarray, radius: np.ndarray | None = None
    ) -> np.ndarray:
        """Return points of the wall on the grid s × θ, shape (n_s, n_theta, 3), mm."""
        r = self.grid(s, theta) if radius is None else radius
        normal, binormal = self.curve.frame(s)
        around = (
            np.cos(theta)[:, None] * normal[:, None, :]
            + np.sin(theta)[:, None] * binormal[:, None, :]
        )
        return self.curve.at(s)[:, None, :] + r[..., None] * around

    def distance(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the signed distance of points to the wall, and the nearest s and θ.

        Negative inside. The ends are open: beyond them the distance is to the straight
        continuation, so ask only near the tube.
        """
        s, u, v = self.curve.project(x)
        rho, theta = np.hypot(u, v), np.arctan2(v, u)
        r, slope = self._radius_and_slope(s, theta)
        return (rho - r) / slope, s, theta

    def _radius_and_slope(self, s: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b, db = basis(s, self.knots), basis(s, self.knots, 1)
        f, df = harmonics(theta, self.order), harmonics(theta, self.order, derivative=True)
        along = b @ self.coefficients
        g = np.maximum(np.sum(along * f, axis=1), _FLOOR)
        r = self.scale / np.sqrt(g)
        r_theta = -0.5 * r / g * np.sum(along * df, axis=1)
        r_s = -0.5 * r / g * np.sum((db @ self.coefficients) * f, axis=1)
        return r, np.sqrt(1 + (r_theta / r) ** 2 + r_s**2)

    def draws(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw coefficients from their distribution, shape (n, n_splines, n_harmonics)."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        noise = rng.standard_normal((n, len(values))) @ root.T
        return self.coefficients + noise.reshape(n, *self.coefficients.shape)


_COARSE = 0.3  # standard deviation of a mask taken for partial volumes
_STRIDE = 0.5  # of r0²/r² in one step
_FLOOR = 0.02  # of r0²/r²: the wall never runs farther than 7 r0 from the centreline


def harmonics(theta: np.ndarray, order: int, derivative: bool = False) -> np.ndarray:
    """Return 1, cos θ, sin θ, cos 2θ, … of shape (n, 2 · order + 1)."""
    k = np.arange(1, order + 1)
    angle = np.multiply.outer(theta, k)
    out = np.empty((*np.shape(theta), 2 * order + 1))
    out[..., 0] = 0.0 if derivative else 1.0
    out[..., 1::2] = -k * np.sin(angle) if derivative else np.cos(angle)
    out[..., 2::2] = k * np.cos(angle) if derivative else np.sin(angle)
    return out


def fit_tube(
    curve: Curve,
    voxels: Voxels,
    *,
    radius: float,
    low: float,
    high: float,
    order: int,
    spacing: float,
    taper: np.ndarray,
    stiffness: np.ndarray,
    roundness: np.ndarray,
    noise: float,
    rest: np.ndarray | None = None,
    firmness: np.ndarray | None = None,
    n_sub: int = 2,
    iterations: int = 12,
) -> Tube:
    """Fit the wall of a tube around a fixed centreline.

    Parameters
    ----------
    curve : Curve
        Centreline.
    voxels : Voxels
        Those that bear on the wall.
    radius : float
        First guess of the radius, mm.
    low, high : float
        Range of s that the wall covers, mm.
    order : int
        Highest harmonic.
    spacing : float
        Distance of the knots, mm.
    taper, stiffness, roundness : numpy.ndarray of shape (2 · order + 1,)
        For each harmonic, the weight of its squared first and second derivative along s, and
        of its square: inverse variances, in units of the radius.
    noise : float
        For partial volumes, their standard deviation; for a mask, the uncertainty of its edge
        in mm.
    rest : numpy.ndarray of shape (n_splines, 2 · order + 1), optional
        Coefficients that the wall is drawn to, instead of a circle of any radius.
    firmness : numpy.ndarray of shape (n_splines,), optional
        Factor of `roundness` along s.
    n_sub : int, default 2
        Voxels are split into n_sub³ parts to predict their share.
    iterations : int, default 12
        At most.

    Returns
    -------
    Tube
    """
    t = knots(low, high, spacing)
    n_splines, n_harmonics = len(t) - 4, 2 * order + 1
    step = t[4] - t[3]
    penalty = np.kron(roughness(t) * radius**3, np.diag(stiffness))
    penalty += np.kron(slope_penalty(t) * radius, np.diag(taper))
    firm = np.ones(n_splines) if firmness is None else firmness
    penalty += np.kron(np.diag(firm) * step / radius, np.diag(roundness))

    parts = _parts(voxels.axes, n_sub)
    x = (voxels.centres[:, None, :] + parts).reshape(-1, 3)
    s, u, v = curve.project(x)
    rho, theta = np.hypot(u, v), np.arctan2(v, u)
    b, f = basis(s, t), harmonics(theta, order)
    db, df = basis(s, t, 1), harmonics(theta, order, derivative=True)
    # The standard deviation of a uniform voxel part, and of a voxel, along the wall's normal.
    normal, binormal = curve.frame(s)
    outward = np.cos(theta)[:, None] * normal + np.sin(theta)[:, None] * binormal
    whole = np.sqrt(np.sum((outward @ voxels.axes) ** 2, axis=1) / 12)
    blur = whole / n_sub
    # A part beside a round wall holds less of the tube than beside a flat one: on average its
    # distance is larger by half its variance across, times the curvature.
    across = np.cos(theta)[:, None] * binormal - np.sin(theta)[:, None] * normal
    swell = np.sum((across @ voxels.axes) ** 2, axis=1) / (12 * n_sub**2)
    swell = 0.5 * swell / np.maximum(rho, 0.5 * radius)
    n, m = len(voxels.share), len(parts)
    width = whole.reshape(n, m).mean(axis=1)

    if rest is None:
        mean = np.zeros((n_splines, n_harmonics))
        mean[:, 0] = 1.0
    else:
        mean = rest
    coefficients = mean.copy()
    if voxels.mask:
        # Outside a convex wall lie more voxels than inside; unweighted they would push it in.
        even = np.clip(radius / rho.reshape(n, m).mean(axis=1), 0.3, 3.0)
        shift = width * ndtri(voxels.threshold)

    def predict(c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares, and dP/dg of each part."""
        along = b @ c
        g = np.maximum(np.einsum("nf,nf->n", along, f), _FLOOR)
        r = radius / np.sqrt(g)
        tilt_theta = 0.5 * np.einsum("nf,nf->n", along, df) / g
        tilt_s = 0.5 * r / g * np.einsum("nf,nf->n", db @ c, f)
        cosine = 1 / np.sqrt(1 + tilt_theta**2 + tilt_s**2)
        z = ((r - rho) * cosine - swell) / blur
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        slope = -density * cosine / blur * 0.5 * r / g / m
        return ndtr(z).reshape(n, m).mean(axis=1), slope

    def compare(share: np.ndarray, edge: bool) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the misfit, and for Newton's step the weights and gradient of each share."""
        if not edge:
            sd = _COARSE if voxels.mask else noise
            excess = voxels.share - share
            return float(np.sum(excess**2)) / sd**2, np.full(n, sd**-2), excess / sd**2
        clipped = np.clip(share, 1e-4, 1 - 1e-4)
        z = ndtri(clipped)
        eta = (width * z - shift) / noise
        stretch = width / noise * np.sqrt(2 * np.pi) * np.exp(0.5 * z**2)
        inside = np.clip(ndtr(eta), 1e-9, 1 - 1e-9)
        density = np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi) * stretch
        spread = inside * (1 - inside)
        likelihood = np.where(voxels.share > 0.5, inside, 1 - inside)
        return (
            -2 * float(np.sum(even * np.log(likelihood))),
            even * density**2 / spread,
            even * density * ((voxels.share > 0.5) - inside) / spread,
        )

    b_of, f_of = b.reshape(n, m, n_splines), f.reshape(n, m, n_harmonics)
    normal_matrix = penalty
    # A mask is taken for partial volumes first: far from the edge its likelihood is flat.
    for edge in (False, True) if voxels.mask else (False,):
        share, slope = predict(coefficients)
        misfit, weight, pull = compare(share, edge)
        deviation = (coefficients - mean).ravel()
        current = misfit + float(deviation @ penalty @ deviation)
        for _ in range(iterations):
            # Voxels far from the wall say nothing of where it lies.
            steep = slope.reshape(n, m)
            told = weight * np.sum(steep**2, axis=1)
            near = np.flatnonzero(told > 1e-7 * told.max())
            if len(near) == 0:  # no voxel lies at this wall: it stays as it is
                break
            weighted = steep[near, :, None] * b_of[near]
            jacobian = np.matmul(weighted.transpose(0, 2, 1), f_of[near]).reshape(len(near), -1)
            gradient = jacobian.T @ pull[near] - penalty @ (coefficients - mean).ravel()
            normal_matrix = (jacobian * weight[near, None]).T @ jacobian + penalty
            ridge = 1e-8 * np.trace(normal_matrix) / len(normal_matrix)
            move = np.linalg.solve(
                normal_matrix + ridge * np.eye(len(normal_matrix)), gradient
            ).reshape(coefficients.shape)
            # Bounded, for beyond the floor of g there is no way back.
            move *= min(1.0, _STRIDE / max(float(np.abs(move).max()), 1e-9))
            for halving in range(6):
                tried = coefficients + move * 0.5**halving
                tried_share, tried_slope = predict(tried)
                misfit, tried_weight, tried_pull = compare(tried_share, edge)
                deviation = (tried - mean).ravel()
                value = misfit + float(deviation @ penalty @ deviation)
                if value <= current:
                    break
            else:
                break
            gain = current - value
            coefficients, share, slope, current = tried, tried_share, tried_slope, value
            weight, pull = tried_weight, tried_pull
            if gain < 1e-3 + 1e-5 * abs(current):
                break
    ridge = 1e-8 * np.trace(normal_matrix) / len(normal_matrix)
    covariance = np.linalg.inv(normal_matrix + ridge * np.eye(len(normal_matrix)))
    return Tube(curve, t, order, coefficients, radius, covariance)


def _parts(axes: np.ndarray, n_sub: int) -> np.ndarray:
    """Return the centres of a voxel's parts relative to its own, shape (n_sub³, 3), mm."""
    edge = (np.arange(n_sub) + 0.5) / n_sub - 0.5
    return np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3) @ axes.T
