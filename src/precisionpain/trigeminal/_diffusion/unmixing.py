"""The nerve's own diffusion signal out of voxels that it shares with CSF and brainstem."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ...imaging._diffusion.rician import rician_mean, rician_variance

__all__ = ["NerveVoxels", "Unmixed", "fit_nerve", "noise_level"]

Array = NDArray[np.float64]

_ROUNDS = 30
_SETTLED = 1e-3  # far below the standard errors
# Diffusivities of living tissue lie well within, µm²/ms.
_LOWEST, _HIGHEST = 0.02, 4.0
_START_AD, _START_RD = 1.5, 0.8
# Bone and other tissue without a label must not pass for CSF: a voxel with a misfit of so many
# times the usual one doesn't count (Tukey's biweight). The first rounds, whose fit such voxels
# still disturb, only lower their weight (Huber's).
_REJECT, _LOWER, _GENTLE_ROUNDS = 4.0, 2.0, 3
_OF_NERVE = 0.05  # share of a voxel


@dataclasses.dataclass(frozen=True)
class NerveVoxels:
    """Signals of the voxels around one nerve and what fills them.

    Parameters
    ----------
    signal : numpy.ndarray of shape (v, n)
        Measured magnitudes.
    b : numpy.ndarray of shape (n,)
        ms/µm².
    is_b0 : numpy.ndarray of shape (n,)
        Volumes without diffusion weighting.
    tissue : numpy.ndarray of shape (v, 2)
        Fractions of CSF and of brainstem.
    blood : numpy.ndarray of shape (v,)
        Fraction of vessels.
    segments : numpy.ndarray of shape (v, j)
        Fraction of the nerve, by short segments along it.
    cosine2 : numpy.ndarray of shape (j, n)
        Squared cosine between a segment's tangent and the gradient.
    """

    signal: Array
    b: Array
    is_b0: NDArray[np.bool_]
    tissue: Array
    blood: Array
    segments: Array
    cosine2: Array


@dataclasses.dataclass(frozen=True)
class Unmixed:
    """What `fit_nerve` found: diffusivities (µm²/ms) by part, their covariance, and the fit.

    `at_bound` tells which parts ended at the limits of what tissue can have: the data don't
    determine them.
    """

    ad: Array
    rd: Array
    covariance: Array
    s0: float
    s0_brainstem: float
    volume: float
    sigma: float
    misfit: float
    converged: bool
    at_bound: NDArray[np.bool_]


def noise_level(voxels: NerveVoxels) -> float | None:
    """Return the noise of one channel from repeated b0 volumes, or None with fewer than three.

    The median over voxels of the variance over volumes: pulsation makes a few voxels unsteady.
    """
    b0 = voxels.signal[:, voxels.is_b0]
    n = b0.shape[1]
    if n < 3:
        return None
    from scipy.stats import chi2

    return float(np.sqrt(np.median(b0.var(axis=1, ddof=1)) * (n - 1) / chi2.ppf(0.5, n - 1)))


def fit_nerve(
    voxels: NerveVoxels,
    part: NDArray[np.intp],
    *,
    sigma: float | None,
    volume_sd: float,
    s0_sd: float,
) -> Unmixed:
    """Fit one axially symmetric tensor per part of the nerve.

    The expected signal of voxel v in volume k, before noise, is

        A = c_v C_k + p_v P_k + h_v H_k + κ Σ_j w_vj (N_jk − C_k) + Σ_j w_vj C_k,
        N_jk = S₀ exp(−b_k [RD + (AD − RD) (g_k · t_j)²]),

    with the fractions of CSF, brainstem, vessels and nerve segments. The signals C_k of CSF
    and P_k of the brainstem are free in each volume; H_k, that of blood, is free without
    weighting and zero with it (flow). κ is the nerve's true volume over the labelled one.
    κ and S₀ are known up to normal priors on log κ (mean 0) and on the log of S₀ over that of
    the brainstem (mean 0). Magnitudes are compared with their expectation under Rician noise.
    """
    model = _Alternation(voxels, part, volume_sd, s0_sd)
    return model.run(sigma)


def _at_bound(found: Array) -> NDArray[np.bool_]:
    """Tell which rows (AD, RD) lie at the limits."""
    edge = (found < _LOWEST + 1e-3) | (found > _HIGHEST - 1e-3)
    return np.asarray(edge.any(axis=1))


class _Alternation:
    """Tissue signals given the nerve, then the nerve given the tissue signals, and so on."""

    def __init__(
        self, voxels: NerveVoxels, part: NDArray[np.intp], volume_sd: float, s0_sd: float
    ) -> None:
        self.v = voxels
        self.part = part
        self.n_parts = int(part.max()) + 1
        self.sd = np.array([volume_sd, s0_sd])
        nerve = voxels.segments.sum(axis=1)
        # Where the nerve goes, CSF comes: κ only moves the boundary between them.
        self.csf = voxels.tissue[:, 0] + nerve
        self.weights = np.ones(len(nerve))

    def run(self, sigma: float | None) -> Unmixed:
        v = self.v
        measured = v.signal
        corrected = measured
        given = sigma is not None
        level = sigma if sigma is not None else float(measured[:, ~v.is_b0].std()) * 0.1
        columns = self._columns()
        tissue = self._tissue(corrected, np.zeros_like(corrected), columns)
        s0p = max(float(np.median(tissue[1, v.is_b0])), 1e-6 * float(measured.max()))
        theta = np.r_[0.0, 0.0, np.tile([_START_AD, _START_RD], self.n_parts)]
        converged = False
        for number in range(_ROUNDS):
            before = theta
            theta, jacobian = self._nerve(corrected, tissue, columns, theta, s0p, level)
            excess = self._excess(theta, tissue[0], s0p)
            tissue = self._tissue(corrected, excess, columns)
            s0p = max(float(np.mean(tissue[1, v.is_b0])), 1e-6 * float(measured.max()))
            amplitude = np.maximum(columns @ tissue[:2] + self._blood(tissue) + excess, 0)
            corrected = measured - (rician_mean(amplitude, level) - amplitude)
            residual = corrected - columns @ tissue[:2] - self._blood(tissue) - excess
            self._reweigh(residual, gentle=number < _GENTLE_ROUNDS)
            if not given:
                level *= self._scatter(residual, amplitude, level, ~v.is_b0, slice(None))
            if np.abs(theta - before).max() < _SETTLED:
                converged = True
                break
        # Where tissues meet, b0 shows misplaced labels, the weighted volumes a wrong tensor.
        misfit = max(
            self._scatter(residual, amplitude, level, kind, self._with_nerve())
            for kind in (v.is_b0, ~v.is_b0)
        )
        # The scatter about the model holds more than noise; the errors shall say so.
        information = jacobian.T @ jacobian
        prior = np.zeros_like(information)
        prior[0, 0], prior[1, 1] = 1 / self.sd[0] ** 2, 1 / self.sd[1] ** 2
        covariance = np.linalg.pinv(information / max(misfit, 1.0) ** 2 + prior)
        return Unmixed(
            ad=theta[2::2],
            rd=theta[3::2],
            covariance=np.asarray(covariance[2:, 2:], dtype=float),
            s0=float(s0p * np.exp(theta[1])),
            s0_brainstem=s0p,
            volume=float(np.exp(theta[0])),
            sigma=level,
            misfit=misfit,
            converged=converged,
            at_bound=_at_bound(theta[2:].reshape(-1, 2)),
        )

    def _columns(self) -> Array:
        return np.column_stack([self.csf, self.v.tissue[:, 1]])

    def _tissue(self, corrected: Array, excess: Array, columns: Array) -> Array:
        """Least squares for CSF, brainstem and blood in each volume, (3, n)."""
        root = np.sqrt(self.weights)[:, None]
        y = (corrected - excess) * root
        result = np.zeros((3, y.shape[1]))
        b0 = self.v.is_b0
        full = np.column_stack([columns, self.v.blood]) * root
        result[:, b0] = np.linalg.lstsq(full, y[:, b0], rcond=None)[0]
        result[:2, ~b0] = np.linalg.lstsq(columns * root, y[:, ~b0], rcond=None)[0]
        return result

    def _blood(self, tissue: Array) -> Array:
        return np.outer(self.v.blood, tissue[2])

    def _pure(self, theta: Array, s0p: float) -> Array:
        """Signal of each nerve segment, (j, n)."""
        ad, rd = theta[2::2][self.part, None], theta[3::2][self.part, None]
        return s0p * np.exp(theta[1] - self.v.b * (rd + (ad - rd) * self.v.cosine2))

    def _excess(self, theta: Array, csf: Array, s0p: float) -> Array:
        """Return what the nerve, in the place of CSF, adds to the signals, (v, n)."""
        return np.exp(theta[0]) * (self.v.segments @ (self._pure(theta, s0p) - csf))

    def _nerve(
        self,
        corrected: Array,
        tissue: Array,
        columns: Array,
        theta: Array,
        s0p: float,
        level: float,
    ) -> tuple[Array, Array]:
        """Nonlinear least squares for the nerve, with the tissue signals projected out."""
        v = self.v
        root = np.sqrt(self.weights)[:, None]
        reduced = {}
        for weighted in (False, True):
            fixed = columns if weighted else np.column_stack([columns, v.blood])
            basis, _ = np.linalg.qr(fixed * root)
            segments = v.segments * root
            segments = segments - basis @ (basis.T @ segments)
            q, r = np.linalg.qr(segments)
            volumes = ~v.is_b0 if weighted else v.is_b0
            reduced[weighted] = (r, q.T @ (corrected[:, volumes] * root), volumes)

        def residuals(theta: Array) -> Array:
            change = np.exp(theta[0]) * (self._pure(theta, s0p) - tissue[0])
            parts = [(r @ change[:, k] - y).ravel() / level for r, y, k in reduced.values()]
            return np.concatenate([*parts, theta[:2] / self.sd])

        low = np.r_[-1.0, -2.0, np.full(2 * self.n_parts, _LOWEST)]
        high = np.r_[1.0, 2.0, np.full(2 * self.n_parts, _HIGHEST)]
        start = np.clip(theta, low + 1e-6, high - 1e-6)
        solution = least_squares(residuals, start, bounds=(low, high), xtol=1e-8, ftol=1e-8)
        return solution.x, solution.jac[:-2]

    def _reweigh(self, residual: Array, *, gentle: bool) -> None:
        """Weigh voxels by how well the tissues explain them on average.

        Means over the unweighted and over the weighted volumes: wrong tissue shifts them, while
        noise averages out.
        """
        b0 = self.v.is_b0
        size = np.sqrt(
            b0.sum() * residual[:, b0].mean(axis=1) ** 2
            + (~b0).sum() * residual[:, ~b0].mean(axis=1) ** 2
        )
        # Labels are never exact at the nerve's surface; its voxels must not be lost for that.
        nerve = self._with_nerve()
        usual = max(float(np.median(size)), float(np.median(size[nerve])) if nerve.any() else 0.0)
        if usual <= 0:
            return
        ratio = np.maximum(size / usual, 1e-12)
        if gentle:
            self.weights = np.minimum(1.0, _LOWER / ratio)
        else:
            self.weights = np.maximum(1 - (ratio / _REJECT) ** 2, 0.0) ** 2

    def _with_nerve(self) -> NDArray[np.bool_]:
        return np.asarray(self.v.segments.sum(axis=1) > _OF_NERVE)

    def _scatter(
        self, residual: Array, amplitude: Array, level: float, volumes: Any, voxels: Any
    ) -> float:
        """Return the scatter over what noise makes; the median over voxels."""
        left, clean = residual[voxels][:, volumes], amplitude[voxels][:, volumes]
        ratio = (left**2).mean(axis=1) / rician_variance(clean, level).mean(axis=1)
        return float(max(np.sqrt(np.median(ratio)), 1e-6))
