"""Names in exports: headers, protein groups and their members, marks of decoys, samples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

__all__ = [
    "accession",
    "accessions_of",
    "clean_samples",
    "is_contaminant",
    "is_decoy",
    "members",
    "squeeze",
]

# MaxQuant REV__, Philosopher rev_, OpenMS and OpenSWATH DECOY_.
_DECOY = re.compile(r"(?:REV__|rev_|DECOY_)")
# MaxQuant CON__, Frankenfield's FASTA Cont_, Philosopher contam_, GPM cRAP; and the spiked
# retention time standard, which no person has.
_CONTAMINANT = re.compile(
    r"(?:CON__|CONT_|CONTAM(?:INANT)?_|(?-i:cRAP\d*|CRAP)[-_:|]|(?=IRT-KIT|BIOGNOSYS))", re.I
)
# sp|P1|NAME, and other databases in the same form.
_DATABASE = re.compile(r"[a-z]{2,12}\|([^|\s]+)", re.I)
# P1|NAME (PEAKS), whose groups are parted by colons.
_UNIPROT = re.compile(
    r"((?:[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z0-9]{2}\d){1,2})(?:-\d+)?)\|"
)
_PARTS = re.compile(r"[;,]|:(?=[^|:;,]+\|)")
_RAW = re.compile(
    r"\.(?:raw|d|wiff2?|mzml|mzxml|htrms|dia|lcd|tdf|sne|bps|mgf)(?:\.(?:gz|dia|scan))?$", re.I
)


def squeeze(header: str) -> str:
    """Return a header without what writers disagree on: case, spaces, dots, signs."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def members(group: str) -> list[str]:
    """Return the proteins of a group, the leading one first.

    Examples
    --------
    >>> members("sp|P02768|ALBU_HUMAN;CON__P02769")
    ['sp|P02768|ALBU_HUMAN', 'CON__P02769']
    >>> members("2/sp|P0DJD0|RGPD1_HUMAN/sp|Q7Z3J3|RGPD4_HUMAN")
    ['sp|P0DJD0|RGPD1_HUMAN', 'sp|Q7Z3J3|RGPD4_HUMAN']
    >>> members("Q8TEA8|DTD1_HUMAN:P04075|ALDOA_HUMAN")
    ['Q8TEA8|DTD1_HUMAN', 'P04075|ALDOA_HUMAN']
    """
    counted = re.match(r"\d+/", group)
    parts = group[counted.end() :].split("/") if counted else _PARTS.split(group)
    return [part.strip() for part in parts if part.strip()]


def is_decoy(protein: str) -> bool:
    """Tell whether a protein is marked as a decoy."""
    return _DECOY.match(_bare(protein)) is not None


def is_contaminant(protein: str) -> bool:
    """Tell whether a protein is marked as a contaminant.

    Examples
    --------
    >>> is_contaminant("CON__P02769"), is_contaminant("sp|cRAP-P00761|"), is_contaminant("CONA1")
    (True, True, False)
    """
    return _CONTAMINANT.match(_bare(protein)) is not None


def accession(protein: str) -> str:
    """Return the accession of a protein, without database, entry name or mark.

    Examples
    --------
    >>> accession("sp|P01584|IL1B_HUMAN"), accession("CON__P02768-1"), accession("P01584")
    ('P01584', 'P02768-1', 'P01584')
    """
    bare = _bare(protein)
    for mark in (_DECOY, _CONTAMINANT):
        found = mark.match(bare)
        if found:
            bare = _bare(bare[found.end() :])
    return bare


def accessions_of(group: str) -> list[str]:
    """Return the accessions of a group, the leading one first, each once.

    Members that are marked as decoys or contaminants count only where no other is there.

    Examples
    --------
    >>> accessions_of("sp|P00747|PLMN_HUMAN;B2R7F8;CON__P06868"), accessions_of("CON__P06868")
    (['P00747', 'B2R7F8'], ['P06868'])
    """
    inside = members(group)
    real = [m for m in inside if not (is_decoy(m) or is_contaminant(m))]
    return list(dict.fromkeys(map(accession, real or inside)))


def _bare(protein: str) -> str:
    """Return ``P1`` of ``sp|P1|NAME`` (marks may stand before the database, or in the name)."""
    text = protein.strip().lstrip(">")
    found = _UNIPROT.match(text) or _DATABASE.match(text)
    return found.group(1) if found else text


def clean_samples(names: Sequence[str]) -> list[str]:
    r"""Return the names of samples without folders and endings of raw files.

    Names that would become equal stay as they were.

    Examples
    --------
    >>> clean_samples([r"D:\raw\S1.raw", "/data/S2.mzML.gz", "S3"])
    ['S1', 'S2', 'S3']
    >>> clean_samples(["a/S1.raw", "b/S1.raw"])
    ['a/S1.raw', 'b/S1.raw']
    """
    short = [_clean(name) for name in names]
    times = Counter(short)
    return [one if times[one] == 1 else name for one, name in zip(short, names, strict=True)]


def _clean(name: str) -> str:
    name = name.strip()
    # A slash in a name that is no path ("pre/post") belongs to the name.
    path = _RAW.search(name) or re.match(r"(?:[A-Za-z]:)?[\\/]", name)
    last = re.split(r"[\\/]", name)[-1] if path else name
    return _RAW.sub("", last) or name
