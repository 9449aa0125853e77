"""What early fusion promises, over many synthetic cohorts of known truth.

Every seed gives three cohorts of about 150 people with the outcome, of whom 30% lack each block:
"signal", in which all five blocks know something; "noise", in which nerves and proteins are those
of other people; and "null", in which nothing predicts. Asked for are

- signal: an AUC 0.03 above the best single block;
- noise: an AUC at most 0.01 below it, in 95% of the seeds, with and without a gate;
- pooled over seeds, a calibration slope from 0.9 to 1.1;
- 95% intervals of the AUC that hold, in 90 to 98% of the seeds, the AUC of a model trained on
  everybody, as 3,000 people whom it never saw tell it ("true");
- null: a mean AUC of 0.50 ± 0.03.

Gains are given as a cross-validation of the seed sees them, and as true ones. The best single block
is the one with the largest true AUC of the seed; in the cross-validation it is also the one that
looks best, chosen with the answers in hand, which flatters it.

    python benchmarks/science/fusion_targets.py [--seeds 40] [--effect 1] [--gate 0.5]
    python benchmarks/science/fusion_targets.py --response --seeds 10
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import numpy as np
import pandas as pd
from fusion_sample_tn import CHEAP, OUTCOME, blocks, scrambled
from joblib import Parallel, delayed

from precisionpain import Cohort
from precisionpain.datasets import sample_tn
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.fusion import ResponseModel, block_model, early_fusion
from precisionpain.stats import auc, calibration

PEOPLE = 330  # of whom 45% are analysed


def cohort_of(kind: str, seed: int, effect: float) -> Cohort:
    cohort = sample_tn(PEOPLE, seed, effect=0.0 if kind == "null" else effect).require(OUTCOME)
    return scrambled(cohort, seed) if kind == "noise" else cohort


@functools.cache
def unseen(kind: str, effect: float) -> tuple[Cohort, np.ndarray]:
    """Return some 3,000 people of the same kind, from a seed that nothing else uses."""
    cohort = sample_tn(6600, 987_654, effect=0.0 if kind == "null" else effect).require(OUTCOME)
    known = (scrambled(cohort, 987_654) if kind == "noise" else cohort).known_at_index()
    return known, cohort.outcome(OUTCOME).to_numpy()


def one(kind: str, seed: int, models: dict[str, Any], effect: float, cover: bool) -> dict[str, Any]:
    cohort = cohort_of(kind, seed, effect)
    folds = SubjectKFold(5, random_state=seed)
    row: dict[str, Any] = {"seed": seed, "y": cohort.outcome(OUTCOME).to_numpy()}
    for name, model in models.items():
        result = cross_validate(model, cohort, OUTCOME, folds, **CHEAP)
        found = result.auc
        row[name] = found.auc
        row[f"p {name}"] = result.predictions["p"].reindex(cohort.index).to_numpy()
        if cover:
            fitted = model.fit(cohort.known_at_index(), row["y"].astype(int))
            others, outcomes = unseen(kind, effect)
            truth = auc(outcomes, fitted.predict_proba(others)[:, 1])
            row[f"true {name}"] = truth
            row[f"in {name}"] = found.ci_low <= truth <= found.ci_high
    return row


def tell(kind: str, rows: list[dict[str, Any]], models: dict[str, Any], singles: list[str]) -> None:
    table = pd.DataFrame(rows)
    y = np.concatenate([row["y"] for row in rows])
    n = np.mean([len(row["y"]) for row in rows])
    print(f"\n{kind}: {len(rows)} seeds, {n:.0f} people on average")
    for name in models:
        p = np.concatenate([row[f"p {name}"] for row in rows])
        line = f"{name:10s} AUC {table[name].mean():.3f}; slope {calibration(y, p).slope:.2f}"
        if f"in {name}" in table:
            line += (
                f"; true AUC {table[f'true {name}'].mean():.3f}, in the interval of "
                f"{table[f'in {name}'].mean():.0%}"
            )
        print(line)
    true = {name: f"true {name}" for name in models}
    for name in set(models) - set(singles):
        gains = {
            "over the clinic, seen": table[name] - table["clinical"],
            "over what looks best, seen": table[name] - table[singles].max(axis=1),
        }
        if true[name] in table:
            gains["over the clinic, true"] = table[true[name]] - table[true["clinical"]]
            best = table[[true[each] for each in singles]].max(axis=1)
            gains["over the best block, true"] = table[true[name]] - best
        for what, gain in gains.items():
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            print(f"{name:10s} {what}: {gain.mean():+.3f} (SE {error:.3f}), at least −0.01 in "
                  f"{(gain >= -0.01).mean():.0%}", flush=True)  # fmt: skip


def response(seed: int, effect: float) -> pd.DataFrame:
    """Return probabilities and sets of people whom a response model hadn't seen."""
    cohort = cohort_of("signal", seed, effect)
    y = cohort.outcome(OUTCOME).to_numpy().astype(int)
    parts = []
    for train, test in SubjectKFold(5, random_state=seed).split(cohort, y):
        known = cohort.known_at_index()
        model = ResponseModel(blocks(), random_state=seed).fit(known[train], y[train])
        said = model.assess(known[test])
        sets = model.predict_set(known[test]).to_numpy()
        parts.append(said.assign(y=y[test], kept=sets[np.arange(len(test)), y[test]]))
    return pd.concat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--effect", type=float, default=1.0)
    parser.add_argument("--gate", type=float, default=0.5)
    parser.add_argument("--kinds", nargs="+", default=["signal", "noise", "null"])
    parser.add_argument("--no-coverage", action="store_true")
    parser.add_argument("--response", action="store_true", help="the response model instead")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    parallel = Parallel(n_jobs=given.jobs)
    if given.response:
        said = pd.concat(parallel(delayed(response)(seed, given.effect) for seed in seeds))
        print(f"{given.seeds} seeds, {len(said)} people left out; slope "
              f"{calibration(said['y'].to_numpy(), said['p'].to_numpy()).slope:.2f}")  # fmt: skip
        print("sets at 90% hold the truth:", said.groupby("y")["kept"].mean().round(3).to_dict())
        rates = said.groupby("answer")["y"].agg(["size", "mean"]).round(3)
        print(rates.rename(columns={"size": "people", "mean": "responded"}).to_string())
        return
    singles = {name: block_model(value) for name, value in blocks().items()}
    fused = {"early": early_fusion(blocks()), "gated": early_fusion(blocks(), gate=given.gate)}
    for kind in given.kinds:
        models = {**singles, **fused}
        if kind == "null":
            models = {name: models[name] for name in ("clinical", "early")}
        cover = not given.no_coverage
        rows = parallel(delayed(one)(kind, seed, models, given.effect, cover) for seed in seeds)
        tell(kind, rows, models, [name for name in singles if name in models])


if __name__ == "__main__":
    main()
