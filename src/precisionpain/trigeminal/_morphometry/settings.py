"""Weights of the fits: inverse variances of what walls and courses are expected to do."""

from __future__ import annotations

import dataclasses

__all__ = ["WEIGHTS", "Weights"]


@dataclasses.dataclass(frozen=True)
class Weights:
    """What is expected of nerves and vessels before any voxel is seen.

    Lengths are in units of the voxel's size or of the structure's radius, so that a scan
    with all lengths doubled gives doubled measures. The values were chosen on phantoms with
    seeds below 180; accuracy is reported on others.

    Parameters
    ----------
    noise : float
        For partial volumes their standard deviation; for masks that of the edge, in voxels.
    taper, stiffness : float
        Inverse variance of the first and second derivative of a nerve's section along it.
    bend : float
        The same of the second derivative of its middle, within a fit.
    centring : float
        Inverse variance of the middle's offset within a fit.
    free, firm : float
        Inverse variance of the wall's departure from the ellipse that vessels press into, near a
        vessel and elsewhere.
    dent_stiffness : float
        Inverse variance of its second derivative along the nerve.
    knots, dent_knots : float
        Distance of the knots of the elliptical tube and of the wall, in radii.
    middle : float
        Standard deviation of the middle of a section, in voxels.
    loose, jerk : float
        Standard deviation of the rest of a course, in radii, and of its third derivative.
    bulge : float
        Standard deviation that a bulge of the course has at least, in voxels.
    vessel_taper, vessel_stiffness : float
        As `taper` and `stiffness`, of a vessel's calibre.
    vessel_jerk : float
        Weight of the change of a vessel's curvature.
    turns : int
        How often centreline and wall of a nerve are fitted in turn.
    """

    noise: float
    taper: float = 100.0
    stiffness: float = 200.0
    bend: float = 5.0
    centring: float = 10.0
    free: float = 100.0
    firm: float = 100.0
    dent_stiffness: float = 1.0
    knots: float = 0.8
    dent_knots: float = 0.5
    middle: float = 0.03
    loose: float = 0.05
    jerk: float = 0.1
    bulge: float = 0.02
    vessel_taper: float = 50.0
    vessel_stiffness: float = 50.0
    vessel_jerk: float = 0.5
    turns: int = 4


WEIGHTS = {
    "share": Weights(noise=0.03, free=5.0),
    "mask": Weights(noise=0.07, stiffness=4000.0, free=500.0, firm=4000.0, bulge=0.15),
    # A network's shares are as smooth as true ones, but err by as much as the network does.
    "predicted": Weights(noise=0.1, stiffness=4000.0, free=500.0, firm=4000.0, bulge=0.15),
}
"""By what the fits are made to: measured shares, a mask, or shares that a network estimates."""
