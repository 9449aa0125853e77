"""What a card knows that bears on reporting checklists: each fact with how far it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Record = Mapping[str, Any]


class Fact(NamedTuple):
    """What is known, whether that settles it, and in which section of the card it stands."""

    status: str
    answer: str
    where: str


FILLED, PARTLY, NOT_APPLICABLE, OPEN = "filled", "partly", "not applicable", "open"
_NAMED = 12


def facts(record: Record) -> dict[str, Fact]:
    """Return every fact by name, as the checklists refer to them."""
    return {**_people(record), **_made(record), **_judged(record)}


def _people(record: Record) -> dict[str, Fact]:
    data, outcome = record["data"], record["outcome"]
    flow, sites = data["flow"], data["sites"]
    left = [f"{row['excluded']} left: {row['step']}" for row in flow[1:]]
    recruited = flow[0]["remaining"] if flow else data["n_people"]
    source = data["meta"].get("source") or data["meta"].get("Name") or ""
    rule = outcome["rule"] or "given as values, without a rule"
    lack = [f"{b['block']} {b['lack']}" for b in data["has"] if b["lack"]]
    gaps = [f"{g['column']} {g['missing']}" for g in data["gaps"]]
    lacking = ", ".join([*lack, *gaps][:_NAMED]) or "nothing"
    described = sum(bool(p["description"]) for p in data["predictors"])
    return {
        "task": Fact(PARTLY, record["title"], "Summary"),
        "headline": Fact(PARTLY, record["headline"][0], "Summary"),
        "source": Fact(PARTLY, f"{data['name']}{f': {source}' if source else ''}", "Data"),
        "sites": Fact(
            PARTLY if sites else OPEN,
            f"{len(sites)} sites: " + ", ".join(f"{s['site']} {s['people']}" for s in sites),
            "Data",
        ),
        "eligibility": Fact(
            PARTLY, f"{recruited} recruited; {'; '.join(left) or 'nobody left'}; "
            f"{data['n_people']} analysed", "Data",
        ),
        "treated": Fact(
            PARTLY if outcome["definition"].get("where") else OPEN,
            f"The outcome is defined over {rule}", "Outcome",
        ),
        "outcome": Fact(
            PARTLY, f"{outcome['description'] or outcome['name']}; {rule}", "Outcome"
        ),
        "same_outcome": Fact(
            PARTLY, f"One rule for everybody: {rule}; how it was measured isn't known", "Outcome"
        ),
        "barred": Fact(
            PARTLY, "The outcome and what derives from it can't predict: "
            + (", ".join(data["barred"][:_NAMED]) or "no such column"), "Data",
        ),
        "predictors": Fact(
            PARTLY, f"{len(data['predictors'])} columns may predict, {described} of them "
            "described, with unit and visit", "Data",
        ),
        "missing": Fact(
            FILLED, f"Lacking: {lacking}. {_handled(record)} Nobody was left out for a missing "
            "predictor by the evaluation.", "Data",
        ),
        "flow": Fact(
            FILLED, f"{recruited} recruited → {'; '.join(left) or 'nobody left'} → "
            f"{data['n_people']} analysed, {data['n_events']} with and "
            f"{data['n_rows'] - data['n_events']} without the outcome", "Data",
        ),
        "characteristics": Fact(
            PARTLY if data["table_one"] else OPEN, "Table 1, by outcome", "Data"
        ),
        "licence": Fact(
            PARTLY if data["meta"].get("licence") else OPEN,
            f"Licence of the data: {data['meta'].get('licence')}", "Data",
        ),
        "landmark": Fact(
            PARTLY if record["evaluation"]["allowed_late"] else FILLED,
            f"The model saw only what was known by day {data['landmark_days']:g} from the index "
            "event"
            + (f", but for {', '.join(record['evaluation']['allowed_late'])}"
               if record["evaluation"]["allowed_late"] else ""),
            "Data",
        ),
        "no_images": Fact(
            OPEN if data["n_images"] or any("nerve" in b["block"] or "diffusion" in b["block"]
                                            for b in data["has"]) else NOT_APPLICABLE,
            "The cohort has no images and no table measured on them", "Data",
        ),
    }  # fmt: skip


def _handled(record: Record) -> str:
    model = record["model"]
    if model["blocks"]:
        return (
            "A person counts with the blocks at hand; a gap inside a block is filled with the "
            "training median."
        )
    imputed = [step for step in model["steps"] if "Imput" in step]
    if imputed:
        return f"Gaps are filled in the fold ({', '.join(imputed)})."
    return "The model takes gaps as they are, or fills them inside itself."


def _made(record: Record) -> dict[str, Fact]:
    model, how, data = record["model"], record["evaluation"], record["data"]
    steps = "; ".join(model["steps"]) or model["kind"]
    blocks = ", ".join(f"{k} ({v})" for k, v in model["blocks"].items())
    what = f"{model['kind']}: {blocks or steps}"
    tuned = ", ".join(model["tuned"])
    settings = f"{len(model['settings'])} settings are listed"
    against = [f"penalty in {', '.join(dict.fromkeys(model['penalised']))}"] * bool(
        model["penalised"]
    ) + ["tuning inside the training people"] * bool(tuned)
    learned = model["learned"]
    complete = bool(learned and learned.get("coefficients"))
    partial = bool(learned)
    design = (
        f"{how['splitter']}: {how['n_splits']} splits by person"
        + (f", {how['n_repeats']} repeats" if how["n_repeats"] > 1 else "")
        + (f"; tuned on the training people of each ({tuned})" if tuned else "")
    )
    imbalance = ", ".join(model["imbalance"])
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items() if k != "platform")
    listed = f"coefficients of {learned['n_coefficients']} features" if complete else (
        "blocks and weights of the fitted model" if partial else "settings only"
    )  # fmt: skip
    return {
        "aim": Fact(PARTLY, "Development, with evaluation by cross-validation", "Evaluation"),
        "preparation": Fact(
            PARTLY, f"{data['provenance_steps']} steps of reading and cleaning are recorded; all "
            "that the model learns of preparation is the same for everybody", "Model",
        ),
        "candidates": Fact(
            PARTLY, blocks or f"{len(data['predictors'])} columns may predict; none was chosen "
            "by the outcome outside of the folds by this library", "Model",
        ),
        "design": Fact(FILLED, f"{design}. Everybody is predicted by models that never saw them",
                       "Evaluation"),
        "steps": Fact(PARTLY, steps if not blocks else f"{blocks}; columns standardised", "Model"),
        "model": Fact(FILLED, f"{what}; {settings}", "Model"),
        "tuning": Fact(
            FILLED, f"Tuned inside of each training fold by {tuned}" if tuned
            else "No settings were tuned; they were fixed beforehand", "Model",
        ),
        "ensemble": Fact(
            FILLED if blocks else NOT_APPLICABLE,
            f"Blocks are combined: {blocks}" if blocks else "One model", "Model",
        ),
        "seed": Fact(PARTLY, f"Seed {how['seed']} of folds, bootstrap and permutations",
                     "Evaluation"),
        "software": Fact(FILLED, versions, "Versions"),
        "code": Fact(
            PARTLY, f"Made with precisionpain {record['versions'].get('precisionpain', '')} "
            "(Apache-2.0); the script of the analysis isn't known", "Versions",
        ),
        "imbalance": Fact(
            PARTLY if imbalance else NOT_APPLICABLE,
            f"Weighted or resampled: {imbalance}; recalibration isn't known" if imbalance
            else "No class weights and no resampling stand in the settings", "Model",
        ),
        "overfitting": Fact(PARTLY if against else OPEN, "; ".join(against), "Model"),
        "all_steps": Fact(
            FILLED, "The whole model was fitted anew in each fold; what was computed before the "
            "cohort was made is beyond the library", "Evaluation",
        ),
        "output": Fact(
            PARTLY, f"The probability of {record['outcome']['name']}; classes at a threshold of "
            f"{how['threshold']:g}, set beforehand", "Evaluation",
        ),
        "predictions": Fact(
            FILLED, "predict_proba of the model of each fold, on people left out", "Evaluation"
        ),
        "updating": Fact(NOT_APPLICABLE, "Nothing was updated or recalibrated", "Evaluation"),
        "same_people": Fact(
            FILLED, "The same people in turn, so setting, eligibility and definitions are the same",
            "Evaluation",
        ),
        "no_other_people": Fact(NOT_APPLICABLE, "There are no other people than those of "
                                "development", "Evaluation"),
        "specification": Fact(
            PARTLY, f"On this card: {listed}; the fitted object itself isn't part of it", "Model"
        ),
        "gaps_at_use": Fact(
            PARTLY, _handled(record) + " Values far outside of the training range count as "
            "missing." * bool(blocks), "Model",
        ),
    }  # fmt: skip


def _judged(record: Record) -> dict[str, Fact]:
    found, how, data = record["performance"], record["evaluation"], record["data"]
    a, test, size = found["auc"], found["permutation"], found["sample_size"]
    groups, sites = record["subgroups"], record["other_sites"]
    interval = f"AUC {a['auc']:.2f} ({a['ci_low']:.2f} to {a['ci_high']:.2f})"
    n_sites = len([s for s in data["sites"] if s["site"] != "unknown"])
    measures = (
        "AUC, Brier score, calibration (slope, intercept, O/E, ICI, plot), decision curve"
        + (", difference from the clinical baseline" if found["increment"] else "")
    )
    when = "before fitting" if found["sample_size_before_fitting"] else "by the features fitted"
    return {
        "sample_size": Fact(
            OPEN if size is None else FILLED, "" if size is None else f"{size['sentence']} "
            f"(Riley's criteria, judged {when})", "Summary",
        ),
        "precision": Fact(
            PARTLY, f"{data['n_events']} people with and {data['n_rows'] - data['n_events']} "
            f"without the event; {interval}", "Performance",
        ),
        "precise": Fact(FILLED, f"{interval}; further measures with intervals in the table",
                        "Performance"),
        "measures": Fact(FILLED, measures, "Performance"),
        "intervals": Fact(
            FILLED, f"DeLong, corrected t over folds, Wilson, and {how['n_bootstrap']} bootstrap "
            f"resamples of people; {test['n']} runs with permuted labels", "Evaluation",
        ),
        "performance": Fact(
            FILLED if groups else PARTLY,
            interval + ("; subgroups in the table" if groups else "; no subgroups"), "Performance",
        ),
        "numbers": Fact(
            FILLED, f"{how['n_splits']} splits: {min(how['n_train'])} to {max(how['n_train'])} "
            f"people in training, {min(how['n_test'])} to {max(how['n_test'])} tested with "
            f"{min(how['events_test'])} to {max(how['events_test'])} events", "Evaluation",
        ),
        "clusters": Fact(
            FILLED if sites else NOT_APPLICABLE if n_sites < 2 else OPEN,
            f"Each of {len(sites['rows'])} sites left out in turn" if sites
            else "There is one site at most", "Other sites",
        ),
        "external": Fact(
            PARTLY if sites else OPEN,
            "Sites of the same study, each left out in turn; no other study", "Other sites",
        ),
        "fairness": Fact(
            PARTLY if groups else OPEN,
            "Performance was examined by subgroup; the model itself was not changed for fairness",
            "Subgroups",
        ),
        "leaks": Fact(
            FILLED if test["passed"] else PARTLY,
            "Splits are by person, and no person straddles one; with permuted labels the mean AUC "
            f"is {test['mean']:.2f} over {test['n']} runs", "Evaluation",
        ),
        "robustness": Fact(
            PARTLY, f"Over {how['n_splits']} folds the AUC spreads as the table shows", "Evaluation"
        ),
        "explanations": Fact(
            PARTLY if found["importance"] else OPEN,
            "SHAP values of the out-of-fold predictions", "Performance",
        ),
        "confusion": Fact(
            PARTLY, f"Sensitivity, specificity and predictive values at {how['threshold']:g}",
            "Performance",
        ),
        "limits": Fact(PARTLY, f"{len(record['limits'])} limits that the numbers tell", "Limits"),
    }  # fmt: skip
