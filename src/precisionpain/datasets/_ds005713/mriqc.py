"""Clean the image quality metrics of ds005713."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...errors import FormatError, list_some
from .cleaned import Cleaned

__all__ = ["clean_mriqc"]


def clean_mriqc(path: Path, contrast: str, subjects: pd.Index) -> Cleaned:
    """Read and clean a table of image quality metrics.

    Parameters
    ----------
    path : pathlib.Path
        mriqc_data/group_<contrast>.tsv.
    contrast : str
        "T1w", "T2w", "dwi" or "bold".
    subjects : pandas.Index
        People of the cohort; others are left out and recorded.

    Returns
    -------
    Cleaned
        `table` has ``subject_id, visit, run``, then the numeric metrics.
    """
    file = f"mriqc_data/group_{contrast}.tsv"
    raw = pd.read_csv(path, sep="\t", float_precision="round_trip")
    done = Cleaned(raw)
    names = raw["bids_name"].str.extract(
        rf"^(?P<subject_id>sub-\d+?)(?P<later>fu)?_(?:task-rest_)?(?:run-(?P<run>\d+)_)?{contrast}$"
    )
    values = raw.drop(columns="bids_name")
    cut = names["subject_id"].isna() & values.isna().all(axis=1)
    done.note(
        "leave out",
        file,
        "bids_name",
        raw.loc[cut, "bids_name"],
        "the file ends in the middle of this row and whatever followed: truncated upstream",
    )
    if (names["subject_id"].isna() & ~cut).any():
        unread = raw.loc[names["subject_id"].isna() & ~cut, "bids_name"]
        raise FormatError(f"can't read {list_some(unread)}", where=f"{file}, column 'bids_name'")
    stray = ~cut & ~names["subject_id"].isin(subjects)
    done.note(
        "leave out",
        file,
        "bids_name",
        raw.loc[stray, "bids_name"],
        "people without a row in the table of the participants: not added to the cohort",
    )
    metrics = [str(name) for name in values]
    text = [name for name in metrics if not pd.api.types.is_numeric_dtype(values[name])]
    numbers = values.drop(columns=text)
    for name in (name for name in metrics if name.startswith("fber")):
        # The energy ratio has no value over a background of zeros; MRIQC writes -1 for it.
        undefined = (numbers[name] == -1) & ~stray
        done.note("clean", file, name, int(undefined.sum()), "-1 means undefined: missing")
        numbers[name] = numbers[name].where(numbers[name] != -1)
    keys = pd.DataFrame(
        {
            "subject_id": names["subject_id"],
            "visit": names["later"].map({"fu": "followup_1"}).fillna("preop"),
            "run": pd.to_numeric(names["run"]).astype("Int64"),
        }
    )
    done.table = pd.concat([keys, numbers], axis=1)[~cut & ~stray].reset_index(drop=True)
    done.enter(file, "bids_name", "subject_id, visit, run", "key", "")
    for name in metrics:
        if name in text:
            done.enter(
                file,
                name,
                "",
                "unused",
                f"text, the same in every row: {list_some(values[name].dropna().unique())}",
            )
        else:
            done.enter(file, name, f"measurements['mriqc_{contrast}'], {name}", "measurement", "")
    return done
