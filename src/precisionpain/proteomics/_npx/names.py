"""What products and versions call the same thing, and what their words mean.

Plain rules, all in one place. A name that isn't listed is kept as the file has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from ...errors import FormatError, list_some
from .._layout import QC_WORDS

__all__ = [
    "KEYS",
    "LIMITS",
    "MISSING",
    "OUT",
    "UNIT_OF",
    "VALUES",
    "assay_type",
    "canonical",
    "is_person",
    "name_columns",
    "qc_code",
    "sample_type",
    "sample_type_by_name",
    "split_accessions",
    "split_panel",
]

# Our name -> what files call it. The first one is what `write_npx` writes. Case, spaces,
# underscores and hyphens don't matter when reading.
_SYNONYMS = {
    "obs_name": ("ObsName",),
    "sample_id": ("SampleID",),
    "sample_index": ("Index",),
    "sample_type": ("SampleType",),
    "subject_id": ("subject_id",),
    "visit": ("visit",),
    "specimen": ("specimen",),
    "well": ("WellID", "Well"),
    "plate": ("PlateID", "Plate"),
    "data_analysis_ref": ("DataAnalysisRefID",),
    "olink_id": ("OlinkID", "OID"),
    "uniprot": ("UniProt", "UniProtID"),
    "gene": ("Assay",),
    "assay_type": ("AssayType",),
    "panel": ("Panel",),
    "panel_version": ("Panel_Version",),
    "panel_lot": ("Panel_Lot_Nr",),
    "block": ("Block",),
    "count": ("Count",),
    "ext_npx": ("ExtNPX",),
    "npx": ("NPX",),
    "quantified": ("Quantified_value",),
    "ct": ("Ct",),
    "unit": ("Unit",),
    "normalization": ("Normalization", "Normalisation"),
    "pc_normalized_npx": ("PCNormalizedNPX",),
    "lod": ("LOD",),
    "plate_lod": ("PlateLOD",),
    "max_lod": ("MaxLOD",),
    "missing_freq": ("MissingFreq", "MissingDataFreq", "MissingDataFreq."),
    "assay_qc": ("AssayQC", "Assay_Warning", "AssayQCWarning"),
    "qc": ("SampleQC", "QC_Warning", "SampleQCWarning"),
    "explore_version": ("ExploreVersion",),
    "software_version": ("SoftwareVersion",),
}
OUT = {ours: theirs[0] for ours, theirs in _SYNONYMS.items()}


def _bare(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).lower()


_OURS = {_bare(name): ours for ours, theirs in _SYNONYMS.items() for name in theirs}

# The row's identity; cells; and what limits detection, the first one that is given being the
# one that counts.
KEYS = ("sample_id", "sample_index", "plate", "well", "panel", "block")
LIMITS = ("lod", "plate_lod", "max_lod")
VALUES = ("npx", "quantified", "ct")
UNIT_OF = {"npx": "NPX", "quantified": "log2 concentration"}

# What stands for "not given". An empty cell does too.
MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "No Data")

_SAMPLE_TYPES = {
    "SAMPLE": "SAMPLE",
    "CONTROL": "CONTROL",
    "SAMPLE_CONTROL": "CONTROL",
    "CONTROL_SAMPLE": "CONTROL",
    "NEGATIVE_CONTROL": "NEGATIVE_CONTROL",
    "PLATE_CONTROL": "PLATE_CONTROL",
    "INTER_PLATE_CONTROL": "PLATE_CONTROL",
    "INTERPLATE_CONTROL": "PLATE_CONTROL",
    "IPC": "PLATE_CONTROL",
}
# Whole names only, so that neither CANCER_01 nor NC_07 is a control.
_CONTROL_NAMES = (
    (re.compile(r"(control[ _-]sample|sample[ _-]control)([ _-].*)?", re.I), "CONTROL"),
    (re.compile(r"negative[ _-]control([ _-]?\d+)?|neg[ _]ctrl([ _-]?\d+)?", re.I),
     "NEGATIVE_CONTROL"),
    (re.compile(r"(inter[ _-]?)?plate[ _-]control([ _-]?\d+)?|IPC([ _-]?\d+)?", re.I),
     "PLATE_CONTROL"),
)  # fmt: skip

_CONTROL_ASSAY = re.compile(
    r"(incubation|inc|extension|ext|amplification|amp|detection|det)[ _]?"
    r"(control|ctrl)([ _]?\d+)?",
    re.I,
)
_CONTROL_ASSAYS = {
    "inc": "INCUBATION_CONTROL",
    "ext": "EXTENSION_CONTROL",
    "amp": "AMPLIFICATION_CONTROL",
    # The qPCR products' control of the last step, which Explore calls amplification.
    "det": "AMPLIFICATION_CONTROL",
}


def canonical(name: str) -> str:
    """Return our name of a column, or the name itself."""
    return _OURS.get(_bare(name), name)


def is_person(name: str) -> bool:
    """Tell whether a column, by its name, holds the person: Subject, SubjectID, subject_id."""
    return _bare(name) in ("subject", "subjectid")


def name_columns(columns: Iterable[str], where: str) -> dict[str, str]:
    """Map the columns of a file to our names.

    Two columns that mean the same keep apart: the first gets our name, the others their own.

    Raises
    ------
    FormatError
        When a name occurs twice.
    """
    columns = [str(name) for name in columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise FormatError(f"the columns {list_some(twice)} occur more than once", where=where)
    ours: dict[str, str] = {}
    for name in columns:
        mine = canonical(name.strip())
        ours[name] = name if mine in ours.values() else mine
    return ours


def qc_code(flag: object) -> float | None:
    """Return the code of a QC flag, NaN where nothing is said, None for an unknown word."""
    if flag is None or pd.isna(flag) or str(flag).strip() in MISSING:  # type: ignore[call-overload]
        return float("nan")
    return QC_WORDS.get(str(flag).strip().upper().replace(" ", "_"))


def sample_type(word: object, where: str) -> str:
    """Return the type of sample that a file's word means.

    Raises
    ------
    FormatError
        When the word is unknown.
    """
    found = _SAMPLE_TYPES.get(re.sub(r"[\s\-]", "_", str(word).strip()).upper())
    if found is None:
        raise FormatError(
            f"expected a type of sample ({', '.join(sorted(_SAMPLE_TYPES))}), found {word!r}",
            where=where,
            remedy="correct the word in the file, or give the column sample_type in samples=",
        )
    return found


def sample_type_by_name(name: str) -> str:
    """Return the type of sample by the whole name, for files that don't say the type."""
    for pattern, found in _CONTROL_NAMES:
        if pattern.fullmatch(name.strip()):
            return found
    return "SAMPLE"


def assay_type(word: object, gene: object, where: str) -> str:
    """Return the type of assay by the file's word, else by the whole name of the assay.

    Raises
    ------
    FormatError
        When the word is unknown.
    """
    said = not (word is None or pd.isna(word))  # type: ignore[call-overload]
    text = str(word).strip() if said else str(gene).strip()
    if _CONTROL_ASSAY.fullmatch(text):
        return _CONTROL_ASSAYS[text[:3].lower()]
    if said and text.lower() != "assay":
        raise FormatError(
            f"expected a type of assay (assay, inc_ctrl, ext_ctrl, amp_ctrl), found {word!r}",
            where=where,
        )
    return "ASSAY"


def split_accessions(found: Iterable[object]) -> str | None:
    """Join the accessions of one assay as ``"P1,P2"``, each once, in the order of the file."""
    each = [
        part
        for text in found
        if text is not None and not pd.isna(text)  # type: ignore[call-overload]
        for part in re.split(r"[_;,|\s]+", str(text).strip())
        if part
    ]
    return ",".join(dict.fromkeys(each)) or None


def split_panel(text: str) -> tuple[str, str | None]:
    """Split ``"Olink INFLAMMATION(v.3021)"`` into the panel and its version."""
    match = re.fullmatch(r"(.*?)\s*\((v\.?\s*[\w.]+)\)\s*", text)
    return (match[1], match[2]) if match else (text.strip(), None)
