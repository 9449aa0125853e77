"""Find the radiomic features that mean something on a mask as small as a cranial nerve.

Synthetic nerves, so that the truth is known: curved tubes of 25 to 130 mm³ in bright
cerebrospinal fluid, each person with a mean, an amplitude and a correlation length of the tissue
of their own, independent of the size of the nerve. Every nerve is scanned three times: moved by
up to half a voxel, turned by up to 5°, with partial volume, Rician noise and a boundary drawn
anew. For every feature:

``icc``
    Intraclass correlation of single scans, one-way (Shrout & Fleiss 1979). Below 0.5 is poor
    (Koo & Li 2016): most of what differs between people is noise.
``size``
    Squared rank correlation of a person's mean with the true volume. At 0.5 or more a feature of
    intensity or texture is mostly the volume under another name.
``tissue``
    Share of the ranks that the true mean, amplitude and correlation length explain: whether the
    feature says anything of what it claims to measure. Below 0.3 it says next to nothing.

    python benchmarks/science/radiomics_small_masks.py [--people 400] [--bins 32] [--scale 1]

``--scale 3`` makes the same nerves three times as long and thick: the figures of a large mask.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation
from scipy.stats import rankdata

from precisionpain.errors import DataWarning
from precisionpain.imaging.radiomics import radiomics, radiomics_table

SPACING = 0.5  # mm
FINE = 0.25  # mm, grid of the tissue
SUPERSAMPLING = 3
SCANS = 3
WITH_INTENSITY = (
    "morph_centre_of_mass_shift", "morph_integrated_intensity", "morph_morans_i", "morph_gearys_c",
)  # fmt: skip
SNR = 30  # of cerebrospinal fluid, whose intensity is 1


class Person:
    """One nerve: a bent elliptic tube around the x axis, with a tissue of its own."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        while True:
            self.length = scale * rng.uniform(7, 13)
            self.radii = scale * np.array([rng.uniform(1.0, 2.0), rng.uniform(0.7, 1.6)])
            self.volume = np.pi * self.radii.prod() * self.length
            if 25 < self.volume / scale**3 < 130:
                break
        self.curvature = rng.uniform(0, 0.06) / scale
        self.mean, self.sd = rng.uniform(0.20, 0.33), rng.uniform(0.01, 0.08)
        self.correlation = rng.uniform(0.3, 1.2)
        self.tilt = Rotation.from_rotvec(np.deg2rad(rng.uniform(-40, 40, 3)))
        n = int((self.length + 4) / FINE)
        width = int((2 * self.radii.max() + 4) / FINE) + int(self.curvature * self.length**2 / FINE)
        field = gaussian_filter(rng.normal(size=(n, width, width)), self.correlation / FINE)
        self.field = field / field.std()

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Tell which points, in the nerve's own frame, mm, lie in it."""
        along, across, up = points.T
        across = across - self.curvature * along**2 / 2
        round_ = (across / self.radii[0]) ** 2 + (up / self.radii[1]) ** 2
        return (round_ <= 1) & (np.abs(along) <= self.length / 2)

    def scan(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and a mask drawn on it."""
        turn = self.tilt * Rotation.from_rotvec(np.deg2rad(rng.uniform(-5, 5, 3)))
        shift = rng.uniform(-SPACING / 2, SPACING / 2, 3)
        ends = turn.apply(np.diag([self.length / 2, self.radii[0], self.radii[1]]))
        reach = np.abs(ends).sum(axis=0) + self.curvature * self.length**2 / 8 + 2
        axes = [np.arange(-r, r + SPACING, SPACING) for r in reach]
        centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        shape = centres.shape[:3]
        centres = centres.reshape(-1, 3) - shift
        share = np.zeros(len(centres))
        steps = (np.arange(SUPERSAMPLING) - (SUPERSAMPLING - 1) / 2) * SPACING / SUPERSAMPLING
        for step in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3):
            share += self.inside(turn.inv().apply(centres + step))
        share /= SUPERSAMPLING**3
        own = turn.inv().apply(centres)
        where = own.T / FINE + (np.array(self.field.shape)[:, None] - 1) / 2
        tissue = self.mean + self.sd * map_coordinates(self.field, where, order=1, mode="nearest")
        signal = (share * tissue + 1 - share).reshape(shape)
        noise = rng.normal(scale=1 / SNR, size=(2, *shape))
        image = np.hypot(signal + noise[0], noise[1])
        # The hand of whoever draws the boundary wavers by a tenth of a voxel's share.
        waver = gaussian_filter(rng.normal(size=shape), 1.0)
        threshold = np.clip(0.5 + 0.1 * waver / waver.std(), 0.2, 0.8)
        return image, share.reshape(shape) >= threshold


def measure(people: int, bins: int, scale: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of every scan, and the truth of every person."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for person in range(people):
        nerve = Person(rng, scale)
        truth.append([nerve.volume, nerve.mean, nerve.sd, nerve.correlation])
        for _ in range(SCANS):
            image, mask = nerve.scan(rng)
            values = radiomics(
                image, mask, spacing=[SPACING] * 3, features="all",
                discretisation=("fixed_bin_number", bins),
            )  # fmt: skip
            rows.append(values.rename((person, mask.sum())))
    frame = pd.DataFrame(rows)
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["person", "voxels"])
    return frame, pd.DataFrame(truth, columns=["volume", "mean", "sd", "correlation"])


def icc(values: np.ndarray) -> float:
    """ICC(1) of an array of shape (people, scans)."""
    k = values.shape[1]
    between = k * values.mean(axis=1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    total = between + (k - 1) * within
    return float((between - within) / total) if total > 0 else np.nan


def assess(frame: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return icc, size and tissue of every feature."""
    ranks = truth.rank()
    tissue = np.column_stack([np.ones(len(ranks)), ranks[["mean", "sd", "correlation"]]])
    rows = {}
    for name in frame.columns:
        values = frame[name].to_numpy().reshape(len(truth), -1)
        of_person = rankdata(values.mean(axis=1))
        rest = of_person - tissue @ np.linalg.lstsq(tissue, of_person, rcond=None)[0]
        spread = of_person.var()
        rows[name] = {
            "icc": icc(values),
            "size": np.corrcoef(of_person, ranks["volume"])[0, 1] ** 2 if spread > 0 else np.nan,
            "tissue": 1 - rest.var() / spread if spread > 0 else np.nan,
        }
    return pd.DataFrame(rows).T


def verdict(name: str, figures: pd.Series) -> str:
    """Return why a feature means nothing on masks like these, or an empty string."""
    if np.isnan(figures["size"]):
        return "constant"
    if figures["icc"] < 0.5:
        return "noise"
    if name.startswith("morph_") and name not in WITH_INTENSITY:
        return ""  # a shape may well depend on size, and not on tissue
    if figures["size"] >= 0.5:
        return "volume"
    return "blind" if figures["tissue"] < 0.3 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--bins", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", help="write the figures of all features here")
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        frame, truth = measure(options.people, options.bins, options.scale, options.seed)
    voxels = frame.index.get_level_values("voxels")
    print(f"{options.people} nerves × {SCANS} scans, {voxels.min()} to {voxels.max()} voxels")
    table = assess(frame, truth).join(radiomics_table()[["family", "never", "small_mask"]])
    table["verdict"] = [verdict(name, row) for name, row in table.iterrows()]
    left_out = table.pop("small_mask") != ""
    advised = table.pop("never") == ""
    table["registry"] = np.where(left_out, "left out", "kept")
    with pd.option_context(
        "display.max_rows", None, "display.max_columns", None, "display.width", 140
    ):
        print(table.round(2))
        print(table.groupby(["family", "registry"])[["icc", "size", "tissue"]].median().round(2))
        odd = table[((table["verdict"] != "") != left_out) & advised]
        print(f"{len(odd)} features whose verdict here is another than in the registry")
        print(odd.round(2))
    if options.csv:
        table.to_csv(options.csv)


if __name__ == "__main__":
    main()
