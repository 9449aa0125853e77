"""How accurate are the measures of compression? Phantoms with truth from geometry say.

    python benchmarks/science/nerve_measures.py                    # accuracy, seeds from 8000
    python benchmarks/science/nerve_measures.py --spacing 0.4 0.4 1.0
    python benchmarks/science/nerve_measures.py --rotation 0 15 0
    python benchmarks/science/nerve_measures.py --calibrate        # intervals, 280 phantoms

Weights were chosen on seeds below 180. Intervals are calibrated on 100 to 179, 460 to 579, and 5000
to 5079, which were test phantoms before. Accuracy and coverage are reported on seeds from 8000. All
of it is synthetic.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import cohen_kappa_score

from precisionpain.trigeminal import INTERVAL_MEASURES, SIDES, simulate_cistern
from precisionpain.trigeminal._morphometry.inputs import read_scan
from precisionpain.trigeminal._morphometry.trace import Untraceable, trace_side
from precisionpain.trigeminal._morphometry.uncertainty import (
    OF_CONTACT,
    intervals,
    spread,
    unit_of,
)

RELATIVE = ("volume_mm3", "mean_area_mm2", "min_area_mm2")
ABSOLUTE = (
    "length_mm", "flattening", "angle_deg", "gap_mm", "contact_position_mm", "vessel_diameter_mm",
    "crossing_angle_deg", "displacement_mm", "indentation_mm", "area_loss_percent",
    "contact_length_mm", "min_area_position_mm", "n_contacts",
)  # fmt: skip

CALIBRATION_SEEDS = (*range(100, 180), *range(460, 580), *range(5000, 5080))


def measure(seed: int, spacing: tuple[float, ...], rotation: tuple[float, ...]) -> list[dict]:
    """Measure both nerves of one phantom from partial volumes and from the mask."""
    cistern = simulate_cistern(seed, spacing=spacing, rotation_deg=rotation)
    rows = []
    for kind, shares in (("share", cistern.fractions), ("mask", None)):
        scan, _ = read_scan(cistern.labels, probabilities=shares)
        for side in SIDES:
            row = {"seed": seed, "side": side, "kind": kind}
            row |= {f"t_{k}": v for k, v in cistern.truth.loc[side].items()}
            try:
                one = trace_side(scan, side)
            except Untraceable as error:
                rows.append(row | {"problem": str(error)})
                continue
            found = one.geometry.measure()
            row |= {f"m_{k}": v for k, v in found.items()}
            row["voxel_mm"] = one.voxel_mm
            row |= {f"s_{k}": v for k, v in spread(one, INTERVAL_MEASURES).items()}
            for name, (low, high) in intervals(one, found, INTERVAL_MEASURES).items():
                row |= {f"low_{name}": low, f"high_{name}": high}
            rows.append(row)
    return rows


def columns(table: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Return what was measured, and the truth."""
    return table[f"m_{name}"].astype(float), table[f"t_{name}"].astype(float)


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """Return bias, spread and mean absolute error of each measure, and coverage."""
    rows = {}
    for name in (*RELATIVE, *ABSOLUTE):
        found, truth = columns(table, name)
        error = found - truth
        if name in RELATIVE:
            error = 100 * error / truth
        rows[name] = {
            "n": int(error.notna().sum()), "bias": error.mean(), "sd": error.std(),
            "mae": error.abs().mean(), "max": error.abs().max(),
        }  # fmt: skip
    for name in ("contact_area_0_mm2", "contact_area_mm2", "contact_area_1_mm2"):
        found, truth = columns(table, name)
        error = 100 * (found - truth)
        some = truth > 0
        rows[f"{name} (pooled, %)"] = {
            "n": int(some.sum()), "bias": error.sum() / truth.sum(),
            "sd": (error[some] / truth[some]).std(),
            "mae": error.abs().sum() / truth.sum(), "max": (error[some] / truth[some]).abs().max(),
        }  # fmt: skip
    for name in INTERVAL_MEASURES:
        key = f"{name} (pooled, %)" if name.startswith("contact_area") else name
        rows[key]["coverage"] = coverage(table, name)
    return pd.DataFrame(rows).T


def told(table: pd.DataFrame, name: str) -> pd.Series:
    """Return where an interval says something: not where nothing is near the nerve."""
    found, truth = columns(table, name)
    said = truth.notna() & found.notna()
    if name in OF_CONTACT:
        near = table["t_gap_mm"].astype(float) <= 1.0
        # A network may see a contact where there is none.
        near |= (table["kind"] == "predicted") & (table["m_gap_mm"].astype(float) <= 1.0)
        said &= near
    return said


def coverage(table: pd.DataFrame, name: str) -> float:
    """Return the share of intervals that hold the truth, where they say something."""
    _, truth = columns(table, name)
    holds = (table[f"low_{name}"] <= truth + 1e-9) & (truth - 1e-9 <= table[f"high_{name}"])
    return float(holds[told(table, name)].mean())


def kappa(table: pd.DataFrame) -> tuple[float, float]:
    """Return the weighted kappas (linear, quadratic) of the Sindou grade."""
    found, truth = (values.astype(int) for values in columns(table, "sindou_grade"))
    return tuple(cohen_kappa_score(truth, found, weights=w) for w in ("linear", "quadratic"))


def calibrate(table: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """Find floor and factor of each interval, so that 95% hold."""
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for kind, part in table.groupby("kind"):
        out[str(kind)] = {}
        for name in INTERVAL_MEASURES:
            found, truth = columns(part, name)
            said = told(part, name)
            error = (found - truth).abs()[said]
            own = part.loc[said, f"s_{name}"].astype(float)
            unit = pd.Series(
                [unit_of(name, v, h) for v, h in zip(found[said], part.loc[said, "voxel_mm"],
                                                     strict=True)], index=error.index,
            )  # fmt: skip
            floor = float(np.median(error / unit))
            ratio = error / np.maximum(np.hypot(own, floor * unit), 1e-9)
            # The finite-sample quantile of split conformal prediction.
            level = min(np.ceil(0.95 * (len(ratio) + 1)) / len(ratio), 1.0)
            out[str(kind)][name] = (
                float(f"{floor:.3g}"), float(f"{np.quantile(ratio, level, method='higher'):.3g}")
            )  # fmt: skip
    return out


def main() -> None:
    """Run the phantoms, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=8000, help="first seed of the test set")
    parser.add_argument("--phantoms", type=int, default=200, help="size of the test set")
    parser.add_argument("--spacing", type=float, nargs=3, default=(0.5, 0.5, 0.5))
    parser.add_argument("--rotation", type=float, nargs=3, default=(0.0, 0.0, 0.0))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--calibrate", action="store_true", help="print intervals found on CALIBRATION_SEEDS"
    )
    parser.add_argument("--keep", type=Path, help="write every nerve's row to this CSV file")
    args = parser.parse_args()
    seeds = CALIBRATION_SEEDS
    if not args.calibrate:
        seeds = tuple(range(args.first, args.first + args.phantoms))
    results = Parallel(args.jobs)(
        delayed(measure)(seed, tuple(args.spacing), tuple(args.rotation)) for seed in seeds
    )
    table = pd.DataFrame([row for rows in results for row in rows])
    if args.keep:
        table.to_csv(args.keep, index=False)
    if "problem" in table:
        lost = table[table["problem"].notna()]
        print(f"{len(lost)} nerves could not be traced:", lost["problem"].tolist())
        table = table[table["problem"].isna()]
    if args.calibrate:
        print(json.dumps(calibrate(table), indent=4))
        return
    print(f"synthetic, {args.phantoms} phantoms from seed {args.first}, spacing {args.spacing}, "
          f"rotation {args.rotation}")  # fmt: skip
    for kind, part in table.groupby("kind"):
        print(f"\n{kind}: {len(part)} nerves; relative errors in % for {', '.join(RELATIVE)}")
        print(accuracy(part).to_string(float_format=lambda value: f"{value:.3f}"))
        linear, quadratic = kappa(part)
        print(f"Sindou grade: weighted kappa {linear:.3f} linear, {quadratic:.3f} quadratic")


if __name__ == "__main__":
    main()
