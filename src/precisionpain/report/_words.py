"""The result in words, composed from the numbers and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..evaluation import CVResult
from ..stats import format_p

if TYPE_CHECKING:
    from .study import Study


def interval(result: CVResult) -> str:
    """Return an AUC with its interval, as text."""
    a = result.auc
    return f"{a.auc:.2f} ({a.confidence:.0%} CI {a.ci_low:.2f} to {a.ci_high:.2f})"


def signed(x: float, digits: int = 2) -> str:
    """Return a number with its sign, a true minus where it is negative."""
    return f"{x:+.{digits}f}".replace("-", "−")


def p_text(p: float) -> str:
    """Return ``p = 0.034`` or ``p < 0.001``."""
    text = format_p(p)
    return f"p {'< ' if text.startswith('<') else '= '}{text.lstrip('<')}"


def headline(study: Study) -> list[str]:
    """Compose three to six sentences: result, others, reference, canary, size, transport."""
    sentences = [_primary(study)]
    for sentence in (
        _others(study), _references(study), _canary(study), study.verdict.sentence, _fit(study)
    ):  # fmt: skip
        if sentence:
            sentences.append(sentence)
    return sentences


def beats_chance(result: CVResult) -> bool:
    """Whether both the interval and the permutations speak against chance."""
    return result.auc.ci_low > 0.5 and result.permutation.p_value < 0.05


def _primary(study: Study) -> str:
    result = study.primary
    start = "Synthetic people, no finding about patients: " if study.cohort.synthetic else ""
    text = (
        f"{start}in {len(result.y)} people, {int(result.y.sum())} of them with the outcome "
        f"{study.outcome}, the {result.name} on all clinical predictors has a pooled "
        f"out-of-fold AUC of {interval(result)}"
    )
    text = text[0].upper() + text[1:]
    tested = f"{p_text(result.permutation.p_value)} against permuted labels"
    if beats_chance(result):
        return f"{text}: better than chance ({tested})."
    if result.auc.ci_low > 0.5 or result.permutation.p_value < 0.05:
        return (
            f"{text}: not clearly better than chance, as the interval and the permuted labels "
            f"({tested}) disagree."
        )
    return f"{text}: not better than chance ({tested})."


def _others(study: Study) -> str:
    names = [name for name in study.shap if study.results[name] is not study.primary]
    if not names:
        return ""
    parts = [f"{study.results[name].name} {interval(study.results[name])}" for name in names]
    table = study.comparisons.set_index("model")
    rows = table.loc[[study.results[name].name for name in names]]
    apart = [
        f"{model} ({signed(row.difference)} per fold, {p_text(row.p_corrected)})"
        for model, row in rows.iterrows()
        if not row.ci_low <= 0 <= row.ci_high
    ]
    verdict = (
        f"apart from the {study.primary.name}: {', '.join(apart)}"
        if apart
        else f"no difference from the {study.primary.name} can be shown (corrected test on the "
        "same folds)"
    )
    return f"On the same folds: {'; '.join(parts)}; {verdict}."


def _references(study: Study) -> str:
    parts = []
    frame = study.analysed.subjects
    for name in [n for n in study.results if n not in study.shap]:
        result = study.results[name]
        found = result.compare(study.primary).corrected
        columns = study.settings["references"][name]
        unknown = int(frame[columns].isna().any(axis=1).sum())
        text = f"{name}: {interval(result)} on the same people"
        if unknown:
            text += f" ({unknown} unknown, imputed)"
        if not np.isfinite(found.ci_low):
            text += f"; the {study.primary.name} minus this is {signed(-found.mean)} per fold"
        else:
            shown = "" if found.ci_low > 0 or found.ci_high < 0 else ", no demonstrable difference"
            text += (
                f"; the {study.primary.name} minus this is {signed(-found.mean)} per fold "
                f"({signed(-found.ci_high)} to {signed(-found.ci_low)}){shown}"
            )
        if name in study.other_people:
            own = study.other_people[name]
            text += f"; {interval(own)} in the {len(own.y)} people with a known value"
        parts.append(f"{text}.")
    return " ".join(parts)


def _canary(study: Study) -> str:
    failed = [r for r in study.results.values() if not r.permutation.passed]
    if failed:
        worst = max(failed, key=lambda r: r.permutation.mean)
        return (
            f"WARNING: with permuted labels the {worst.name} still reaches a mean AUC of "
            f"{worst.permutation.mean:.2f}, so something leaks and the AUC above is not to be "
            "believed."
        )
    test = study.primary.permutation
    return (
        f"With permuted labels the whole procedure gives a mean AUC of {test.mean:.2f} "
        f"({len(test.null)} runs), so nothing points to a leak."
    )


def _fit(study: Study) -> str:
    """Say how it travels to new sites, or else how far the probabilities can be taken."""
    for name, result in study.other_sites.items():
        if study.results[name] is study.primary:
            return (
                f"With each of {len(result.splits)} sites left out in turn, the "
                f"{study.primary.name} has an AUC of {interval(result)}."
            )
    c = study.primary.calibration
    whose = f"The calibration slope of the {study.primary.name}"
    if not np.isfinite(c.slope_low):
        return f"{whose} is {c.slope:.2f} (ideal 1), without an interval."
    fits = c.slope_low <= 1 <= c.slope_high
    limits = f"{c.slope_low:.2f} to {c.slope_high:.2f}; ideal 1"
    value = "" if fits else ": the probabilities are not to be taken at face value"
    return f"{whose} is {c.slope:.2f} ({limits}){value}.".replace("-", "−")


def methods(study: Study) -> str:
    """Describe in one paragraph what was done."""
    s = study.settings
    n_features = study.primary.n_features
    runs = ", ".join(
        f"{study.results[n].name} {k} times, so that p is at least {s['smallest_p'][n]:.4f}"
        for n, k in s["n_permutations"].items()
    )
    columns = [c for c in study.analysed.predictors if c != s["site"]]
    models = ", ".join(study.results[name].name for name in s["models"])
    landmark = f"day {study.cohort.landmark:g}"
    text = (
        f"The outcome {study.outcome} ({study.cohort.outcomes[study.outcome].description or 'no description'}) "  # noqa: E501
        f"was predicted from the {len(columns)} clinical columns known by "
        f"{landmark} from the index event ({n_features} features after coding; the column "
        f"{s['site']!r} is never a predictor). Models with fixed settings ({models}) were "
        f"evaluated by {s['cv']}, {s['n_splits']} splits by person, the same for each model. "
        "Imputation, scaling and the choice of levels were learned in the training people of "
        "each fold. AUCs are of the pooled out-of-fold predictions with DeLong's interval; other "
        f"intervals come from {s['n_bootstrap']} bootstrap resamples of people. Models were "
        "compared fold by fold with Nadeau and Bengio's corrected t test and on the pooled "
        "predictions with DeLong's paired test. The whole procedure was repeated with permuted "
        f"labels ({runs}). The sample was "
        "judged by Riley's criteria before any model was fitted. SHAP values explain each "
        "out-of-fold prediction by the model that made it. Nothing was tuned and no result was "
        f"selected. Seed {s['random_state']}."
    )
    return " ".join([text, *study.notes])


DEFINITIONS = (
    ("AUC", "Chance that a person with the event gets a higher prediction than one without; 0.5 "
     "is chance, 1 perfect. Interval: DeLong et al., Biometrics 44, 837 (1988)."),
    ("Pooled, per fold", "Pooled: all out-of-fold predictions together. Per fold: the mean over "
     "folds; its interval allows for overlapping training sets (Nadeau and Bengio, Machine "
     "Learning 52, 239, 2003)."),
    ("Permuted labels", "The canary: the same procedure on shuffled outcomes must give about 0.5 "
     "or a little less; more means a leak. p = (1 + runs at least as high) / (1 + runs) (Phipson "
     "and Smyth, Stat Appl Genet Mol Biol 9, 39, 2010)."),
    ("Calibration", "Slope 1 and intercept 0 are ideal; a slope below 1 means predictions that are "
     "too extreme. ICI: mean distance between smoothed observed and predicted risk. Bars: "
     "Wilson's intervals."),
    ("Net benefit", "True positives per person, less false positives at the exchange rate of the "
     "threshold (Vickers and Elkin, Med Decis Making 26, 565, 2006). A model is useful where it "
     "lies above both other lines."),
    ("SHAP value", "What a feature adds to one person's prediction, beside the average (Lundberg "
     "et al., Nat Mach Intell 2, 56, 2020). It explains the model, not the disease."),
    ("Enough people", "Riley et al., BMJ 368, m441 (2020): little overfitting, and the overall "
     "risk known to within 5 points."),
    ("SMD", "Difference of means in pooled standard deviations, or its like for shares; about 0.1 "
     "is small."),
)  # fmt: skip
