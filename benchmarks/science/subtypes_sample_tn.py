"""Are subtypes found where there are some, and none where there are none? On synthetic cohorts.

Every seed is a cohort of `sample_tn`, of which the patients (three of four people) are divided;
plates, sites and missing blocks are as by default. For several sizes of the shift of the leading
cause it prints the adjusted Rand index with the hidden truth:

    oracle      by who sees the five true levels and knows how they were drawn: the bound
    taught      by a classifier that was taught the truth of other people, on the same factors
    found       by `find_subtypes`, among those whom it assigns, and among all

and then how many of the cohorts without subtypes "have" some:

    python benchmarks/science/subtypes_sample_tn.py [--seeds 5] [--null-seeds 40] [--first 0]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_predict

from precisionpain.datasets import sample_tn
from precisionpain.datasets._tn_people import CAUSES, causes
from precisionpain.errors import DataWarning
from precisionpain.fusion import SubtypeModel


def oracle(n_patients: int, seed: int, shift: float) -> float:
    """Return the index of Bayes' rule on the true levels, which the cohort doesn't hold."""
    levels, _, leading = causes(n_patients, seed, subtypes=True, shift=shift)
    share = np.array(list(CAUSES.values()))
    said = (np.log(share) + shift * levels.to_numpy()).argmax(axis=1)
    return adjusted_rand_score(leading, said)


def signal(people: int, shift: float, seed: int, given: argparse.Namespace) -> dict[str, float]:
    cohort = sample_tn(people, seed, subtype_shift=shift).where(diagnosis="TN")
    model = SubtypeModel(
        method=given.method, n_null=given.n_null, n_resamples=given.n_resamples
    ).fit(cohort)
    result = model.result_
    truth = cohort.subjects["latent_subtype"].to_numpy()
    assigned = (result.labels != "unassigned").to_numpy()
    taught = cross_val_predict(
        LogisticRegression(max_iter=1000), model.transform(cohort).to_numpy(), truth, cv=5
    )
    guess = np.array(model.subtypes_)[result.probabilities.to_numpy().argmax(axis=1)]
    return {
        "oracle": oracle(len(cohort), seed, shift),
        "taught": adjusted_rand_score(truth, taught),
        "found": adjusted_rand_score(truth[assigned], result.labels[assigned]),
        "found, all": adjusted_rand_score(truth, guess),
        "any": float(result.found),
        "k": float(result.n_clusters),
        "named right": float((result.labels[assigned] == truth[assigned]).mean()),
        "p": result.one_cluster_p,
        "pac": result.pac,
        "stability": result.stability,
    }


def null(people: int, seed: int, given: argparse.Namespace) -> tuple[bool, float]:
    cohort = sample_tn(people, seed, subtypes=False).where(diagnosis="TN")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = SubtypeModel(
            method=given.method, n_null=given.n_null, n_resamples=given.n_resamples
        ).fit(cohort)
    return model.result_.found, model.result_.one_cluster_p


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--null-seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--people", type=int, nargs="+", default=[200, 400])
    parser.add_argument("--shifts", type=float, nargs="+", default=[2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--method", default="factors")
    parser.add_argument("--n-null", type=int, default=39)
    parser.add_argument("--n-resamples", type=int, default=50)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    for people in given.people:
        for shift in given.shifts if given.seeds else ():
            print(f"\n{people * 3 // 4} patients, shift {shift:g}")
            rows = []
            for seed in seeds:
                rows.append(signal(people, shift, seed, given))
                said = ", ".join(f"{name} {value:.2f}" for name, value in rows[-1].items())
                print(f"  seed {seed}: {said}", flush=True)
            print(pd.DataFrame(rows).mean().round(2).to_frame().T.to_string(index=False))
    for people in given.people:
        if not given.null_seeds:
            continue
        answers = []
        for seed in range(given.first, given.first + given.null_seeds):
            answers.append(null(people, seed, given))
            print(f"  null seed {seed}: p {answers[-1][1]:.3f}, found {answers[-1][0]}", flush=True)
        found = sum(answer[0] for answer in answers)
        small = sum(answer[1] <= 0.05 for answer in answers)
        print(
            f"\n{people * 3 // 4} patients without subtypes: {found} of {given.null_seeds} "
            f"cohorts 'have' some; p <= 0.05 in {small}",
            flush=True,
        )


if __name__ == "__main__":
    main()
