"""The command ``precisionpain``: cohorts and the main job, and single scans."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import FormatError, PrecisionPainError, PrecisionPainWarning, list_some

if TYPE_CHECKING:
    from .cohort import Cohort

__all__ = ["main"]

_KINDS = ("tn", "mtbi", "sciatica", "neuropathy", "crps")
_SAMPLES = tuple(f"sample_{kind}" for kind in _KINDS)
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".gz")
_MODELS = ("logistic", "random_forest", "xgboost")
_WHAT = ("tables", "sidecars", "T1w", "T2w", "dwi", "bold")
_COHORT = (
    "a stored cohort, a BIDS root, a folder with ds005713, a clinical table (.csv, .tsv, .xlsx, "
    f".parquet), or made-up people: {', '.join(_SAMPLES)}"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0 for success, 2 for an error that the user can mend, which is printed on stderr.

    Examples
    --------
    >>> main(["show", "no/such/folder"])
    2
    """
    arguments = _parser().parse_args(argv)
    with _plain_warnings():
        try:
            arguments.run(arguments)
        except PrecisionPainError as error:
            if arguments.debug:
                raise
            print(f"precisionpain: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # the reader, say `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show the library's own warnings as one line each, without the code that raised them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, PrecisionPainWarning):
                print(f"precisionpain: note: {message}", file=sys.stderr)
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser = argparse.ArgumentParser(
        prog="precisionpain",
        description="Precision pain medicine: imaging, proteins and clinic of the same people, "
        "without leaks. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"precisionpain {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", parents=[common], help="check a cohort, model an outcome, write a report"
    )
    run.add_argument("cohort", metavar="COHORT", help=_COHORT)
    run.add_argument("--out", required=True, metavar="DIR", help="folder for the report")
    run.add_argument("--outcome", default="mvd_response", help="name (default: %(default)s)")
    run.add_argument(
        "--columns", metavar="YAML", help="column map; may hold `columns:` and `outcomes:`"
    )
    run.add_argument("--models", nargs="+", choices=_MODELS, default=list(_MODELS))
    run.add_argument("--folds", type=int, metavar="K", help="default: 5, fewer for rare outcomes")
    run.add_argument("--repeats", type=int, default=1, metavar="R", help="default: %(default)s")
    run.add_argument(
        "--permutations", type=int, metavar="N",
        help="reruns with permuted labels (default: 1000, references 200, trees 20); N can give "
        "a p no smaller than 1/(N+1)",
    )  # fmt: skip
    run.add_argument(
        "--jobs", type=int, default=-1, metavar="J", help="processes (default: one per core)"
    )
    run.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    run.add_argument("--site-column", default="site", metavar="NAME", help="default: %(default)s")
    run.set_defaults(run=_run)

    mtbi = commands.add_parser(
        "mtbi",
        parents=[common],
        help="run the study of chronic pain after mild brain injury on a cohort",
        description="Compute every row of the four tables of Attias et al. (Pain 2025), with "
        "honest figures beside. A run that was killed goes on when it is called again.",
        epilog="It writes report.html, results.json, table_1.csv to table_4.csv, folds.csv and "
        "predictions.csv (which names people), and keeps the predictions of each fold in "
        "predictions/. Without scans give --tables 1 4. Research use only.",
    )
    mtbi.add_argument("cohort", metavar="COHORT", help=_COHORT)
    mtbi.add_argument("--out", required=True, metavar="DIR", help="folder for the files")
    mtbi.add_argument("--outcome", default="chronic_pain", help="name (default: %(default)s)")
    mtbi.add_argument("--columns", metavar="YAML", help="column map of a table or BIDS root")
    mtbi.add_argument(
        "--tables", nargs="+", type=int, choices=(1, 2, 3, 4), default=[1, 2, 3, 4], metavar="T",
        help="any of 1 2 3 4 (default: all)",
    )  # fmt: skip
    mtbi.add_argument(
        "--rows", nargs="+", metavar="ROW",
        help="rows of Tables 2 to 4 (default: all but paper_optimistic, which chooses its epochs "
        "on the test people)",
    )  # fmt: skip
    mtbi.add_argument("--epochs", type=int, default=30, metavar="E", help="default: %(default)s")
    mtbi.add_argument(
        "--depth", type=int, choices=(10, 18, 34, 50), default=18, help="default: %(default)s"
    )
    mtbi.add_argument(
        "--stem", choices=("paper", "medicalnet"), default="paper",
        help="first layers; medicalnet takes a sixtieth of the time (default: %(default)s)",
    )  # fmt: skip
    mtbi.add_argument("--folds", type=int, default=8, metavar="K", help="default: %(default)s")
    mtbi.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    mtbi.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    mtbi.add_argument("--jobs", type=int, metavar="J", help="folds at a time (default: 1)")
    mtbi.add_argument("--weights", metavar="PATH", help="file or folder of MedicalNet's weights")
    mtbi.add_argument("--fine", metavar="COHORT", help="the same people with scans at 1 mm")
    mtbi.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", dest="settings",
        help="further settings of ChronicPainClassifier, such as precise_bn=true",
    )  # fmt: skip
    mtbi.set_defaults(run=_mtbi)

    fetch = commands.add_parser("fetch", parents=[common], help="fetch a public cohort")
    fetch.add_argument("dataset", choices=["ds005713"])
    fetch.add_argument("root", metavar="ROOT", help="where the files go")
    fetch.add_argument("--mirror", metavar="DIR", help="read this folder instead of the web")
    fetch.add_argument("--what", nargs="+", choices=_WHAT, default=["tables"])
    fetch.add_argument("--subjects", nargs="+", metavar="ID", help="people whose images to fetch")
    fetch.add_argument("--save", metavar="DIR", help="store the cohort there as well")
    fetch.set_defaults(run=_fetch)

    sample = commands.add_parser("sample", parents=[common], help="store a made-up cohort")
    sample.add_argument("kind", choices=_KINDS)
    sample.add_argument("out", metavar="OUT", help="folder for the cohort")
    sample.add_argument("--n", type=int, metavar="N", help="people")
    sample.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    sample.set_defaults(run=_sample)

    show = commands.add_parser("show", parents=[common], help="describe a cohort")
    show.add_argument("cohort", metavar="COHORT", help=_COHORT)
    show.add_argument("--columns", metavar="YAML", help="column map of a table or BIDS root")
    show.set_defaults(run=_show)

    segment = commands.add_parser(
        "segment",
        parents=[common],
        help="label the trigeminal nerves in a scan, and measure them",
        description="Label brainstem, trigeminal nerves and vessels in thin-slice scans (heavily "
        "T2-weighted: CISS, FIESTA, SPACE), and measure both nerves and their contact with "
        "vessels. Research use only.",
        epilog="Of sub-01_T2w.nii.gz it writes sub-01_dseg.nii.gz (labels), "
        "sub-01_probseg.nii.gz (probabilities), sub-01_measures.csv and .json, and pictures "
        "(.png): the profiles of area, both nerves in the scan along their course and across, "
        "and the scene in 3-D. All of them are written, or none.",
    )
    segment.add_argument("images", nargs="+", metavar="IMAGE", help="3-D scan (.nii.gz)")
    segment.add_argument("--out", required=True, metavar="DIR", help="folder for the files")
    segment.add_argument(
        "--angio", metavar="IMAGE",
        help="angiogram of the same head, for a segmenter that takes one as second channel",
    )  # fmt: skip
    segment.add_argument(
        "--weights", metavar="DIR", help="saved segmenter (default: the one of the package)"
    )
    segment.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)"
    )
    segment.add_argument(
        "--intervals", action=argparse.BooleanOptionalAction, default=True,
        help="95%% intervals of the measures (default: with)",
    )  # fmt: skip
    segment.add_argument("--force", action="store_true", help="replace files of an earlier run")
    segment.set_defaults(run=_segment)
    return parser


# --- commands ----------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> None:
    from .evaluation import RepeatedSubjectKFold, SubjectKFold
    from .report import run_study
    from .report._files import make_writable

    folder = make_writable(arguments.out)
    cohort = _open(arguments.cohort, arguments.columns)
    cv: Any = None
    if arguments.repeats > 1:
        cv = RepeatedSubjectKFold(
            arguments.folds or 5, n_repeats=arguments.repeats, random_state=arguments.seed
        )
    elif arguments.folds is not None:
        cv = SubjectKFold(arguments.folds, random_state=arguments.seed)
    study = run_study(
        cohort,
        arguments.outcome,
        models=arguments.models,
        cv=cv,
        site=arguments.site_column,
        n_permutations=arguments.permutations,
        n_jobs=arguments.jobs,
        random_state=arguments.seed,
        progress=sys.stderr.isatty(),
    )
    written = study.save(folder)
    print(study)
    print()
    for name in ("report.html", "results.json"):
        print(written[name])
    tables = sum(name.startswith("tables/") for name in written)
    print(f"{folder / 'tables'} ({tables} files)")
    print(f"{folder / 'figures'} ({len(written) - tables - 2} files)")


def _mtbi(arguments: argparse.Namespace) -> None:
    from .mtbi.experiments import run
    from .report import render_experiments
    from .report._files import make_writable, write_whole

    folder = make_writable(arguments.out, ())
    made_up = arguments.cohort == "sample_mtbi" and not Path("sample_mtbi").exists()
    if made_up and {2, 3} & set(arguments.tables):
        from .datasets import sample_mtbi

        cohort = sample_mtbi(images=True, root=folder / "scans", n_jobs=arguments.jobs)
    else:
        cohort = _open(arguments.cohort, arguments.columns)
    found = run(
        cohort,
        arguments.tables,
        outcome=arguments.outcome,
        rows=arguments.rows,
        n_epochs=arguments.epochs,
        depth=arguments.depth,
        stem=arguments.stem,
        n_splits=arguments.folds,
        random_state=arguments.seed,
        weights=arguments.weights,
        fine=None if arguments.fine is None else _open(arguments.fine, None),
        device=arguments.device,
        out=folder,
        n_jobs=arguments.jobs,
        progress=sys.stderr.isatty(),
        **_settings(arguments.settings),
    )
    page = write_whole(folder / "report.html", render_experiments(found).encode())
    print(found.summary())
    print(f"\n{page}\n{folder / 'results.json'}\n{folder} ({len(found.tables)} tables)")


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE as YAML has values."""
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise FormatError(f"expected NAME=VALUE, found {pair!r}", where="--set")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise FormatError(f"{value!r} is no value", where=f"--set {name}") from error
    return found


def _fetch(arguments: argparse.Namespace) -> None:
    from .datasets import fetch_ds005713

    cohort = fetch_ds005713(
        arguments.root,
        mirror=arguments.mirror,
        what=arguments.what,
        subjects=arguments.subjects,
        progress=sys.stderr.isatty(),
    )
    print(cohort)
    if arguments.save is not None:
        print(f"\nstored in {cohort.save(arguments.save)}")


def _sample(arguments: argparse.Namespace) -> None:
    cohort = _made_up(f"sample_{arguments.kind}", arguments.n, arguments.seed)
    path = cohort.save(arguments.out)
    print(cohort)
    print(f"\nstored in {path}")


def _show(arguments: argparse.Namespace) -> None:
    print(_open(arguments.cohort, arguments.columns))


def _segment(arguments: argparse.Namespace) -> None:
    from .trigeminal._scan import job as scans

    jobs = scans.plan(arguments.images, arguments.out, angio=arguments.angio, force=arguments.force)
    failed: dict[str, PrecisionPainError] = {}
    ready = []
    for job in jobs:  # before the work begins
        try:
            job.check()
            ready.append(job)
        except PrecisionPainError as error:
            failed[str(job.image)] = error
    if ready:
        segmenter, weights = scans.load_segmenter(arguments.weights, device=arguments.device)
    for number, job in enumerate(ready, start=1):
        if sys.stderr.isatty():
            print(f"{job.name} ({number} of {len(ready)}) ...", file=sys.stderr)
        try:
            print(job.run(segmenter, weights, intervals=arguments.intervals), end="\n\n")
        except PrecisionPainError as error:
            failed[str(job.image)] = error
    if len(failed) < len(jobs):
        notes = [scans.GIVEN_LABELS] if arguments.intervals else []
        print(f"Segmenter: {weights}")
        print("\n".join(f"{note[0].upper()}{note[1:]}." for note in [*notes, scans.RESEARCH]))
    if failed:
        first = next(iter(failed.values()))
        if len(jobs) == 1:
            raise first
        each = "".join(
            f"\n  {error}" if error.where == image else f"\n  {image}: {error}"
            for image, error in failed.items()
        )
        raise PrecisionPainError(f"{len(failed)} of {len(jobs)} images failed:{each}") from first


# --- opening a cohort --------------------------------------------------------------------


def _made_up(name: str, n: int | None = None, seed: int = 0) -> Cohort:
    from . import datasets

    size = {} if n is None else {"n_subjects": n}
    cohort: Cohort = getattr(datasets, name)(random_state=seed, **size)
    return cohort


def _open(source: str, column_map: str | None) -> Cohort:
    """Open whatever the user calls a cohort."""
    from .cohort import Cohort, read_clinical_table, read_cohort

    path = Path(source).expanduser()
    columns, outcomes = _read_map(column_map)
    if path.is_file() and path.suffix.lower() in _TABLES:
        frame = read_clinical_table(path, columns)
        name = path.name.partition(".")[0]
        return _with_outcomes(Cohort(frame, name=name), outcomes)
    if path.is_dir() and not (path / "cohort.json").exists() and not _is_ds005713(path):
        return _with_outcomes(read_cohort(path, columns=columns), outcomes)
    if columns is not None:
        raise FormatError(
            f"a column map is for a clinical table or a BIDS root, and {source!r} has its columns",
            where=str(column_map),
            remedy="keep only `outcomes:` in the file",
        )
    if source in _SAMPLES and not path.exists():
        cohort = _made_up(source)
    elif path.is_dir() and not (path / "cohort.json").exists():
        cohort = _open_ds005713(path)
    elif path.exists() and not path.is_dir():
        raise FormatError(
            f"expected a folder or a table ({', '.join(_TABLES)}), found {path.suffix or 'a file'}",
            where=source,
        )
    else:
        cohort = read_cohort(path)
    return _with_outcomes(cohort, outcomes)


def _read_map(path: str | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Read columns and outcomes from a YAML or JSON file."""
    if path is None:
        return None, {}
    import yaml

    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        because = " ".join(str(error).split())
        raise FormatError(f"the column map can't be read ({because})", where=path) from error
    if not isinstance(loaded, Mapping):
        raise FormatError(f"expected a mapping, found {type(loaded).__name__}", where=path)
    if not {"columns", "outcomes"} & set(loaded):
        return dict(loaded), {}
    unknown = [key for key in loaded if key not in ("columns", "outcomes")]
    if unknown:
        raise FormatError(
            f"unknown entries {list_some(unknown)} beside `columns` and `outcomes`",
            where=path,
            remedy="put columns below `columns:`",
        )
    for key in ("columns", "outcomes"):
        if not isinstance(loaded.get(key, {}), Mapping):
            raise FormatError(f"expected a mapping of names below `{key}:`", where=path)
    columns = loaded.get("columns")
    return None if columns is None else dict(columns), dict(loaded.get("outcomes", {}))


def _with_outcomes(cohort: Cohort, outcomes: Mapping[str, Any]) -> Cohort:
    from .cohort import Outcome

    for name, record in outcomes.items():
        try:
            outcome = Outcome(**record)
        except TypeError as error:
            raise FormatError(
                f"expected column, positive, at_least, at_most, where, kind, time, event or "
                f"description ({error})",
                where=f"outcome {name!r}",
            ) from error
        cohort = cohort.with_outcome(str(name), outcome)
    return cohort


def _is_ds005713(folder: Path) -> bool:
    """Recognise the data set by its DOI, or by the checksum of the table of its people."""
    description = folder / "dataset_description.json"
    with contextlib.suppress(OSError, ValueError):
        record = json.loads(description.read_text(encoding="utf-8"))
        if "ds005713" in str(record.get("DatasetDOI", "")):
            return True
    return any(_is_registered(table) for table in folder.glob("participants*.tsv"))


def _is_registered(table: Path) -> bool:
    from .datasets._ds005713.registry import sha256_of
    from .datasets.ds005713 import PARTICIPANTS, ds005713_registry

    file = ds005713_registry()[PARTICIPANTS]
    return table.stat().st_size == file.bytes and sha256_of(table) == file.sha256


def _open_ds005713(folder: Path) -> Cohort:
    from .datasets import fetch_ds005713

    table = folder / "participants.tsv"
    if table.is_file() and _is_registered(table):
        return fetch_ds005713(folder, progress=False)
    # A copy that isn't a complete tree is only read; what it lacks is an error.
    with tempfile.TemporaryDirectory(prefix="precisionpain-") as root:
        return fetch_ds005713(root, mirror=folder, progress=False)
