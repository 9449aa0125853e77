"""Make the registry of ds005713: path, size and SHA-256 of every file that the package reads.

The images of the dataset are git-annex pointers, so their sizes and checksums come from a
list of the annex keys; those of the small files from the files themselves. The table of
participants is that of version 2.0.1, because version 2.0.2 holds a truncated one.

    python benchmarks/make_ds005713_registry.py CLONE ANNEX_LIST PARTICIPANTS OUT

CLONE is a clone (or unpacked copy) of https://github.com/OpenNeuroDatasets/ds005713 at 2.0.2,
ANNEX_LIST a tab-separated list of path, bytes and SHA-256 of its annexed files, PARTICIPANTS
the file participants.tsv of the git tag 2.0.1, OUT the registry to write.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

HEADER = """\
# Files of OpenNeuro ds005713 (2.0.2) that precisionpain reads: path, bytes, SHA-256; sorted.
# participants.tsv is that of version 2.0.1 (173 people); version 2.0.2 holds 51 of them.
# Made by benchmarks/make_ds005713_registry.py; licence of the dataset: CC0.
"""
TABLES = (
    "CHANGES",
    "README",
    "dataset_description.json",
    "mriqc_data/group_T1w.tsv",
    "mriqc_data/group_T2w.tsv",
    "mriqc_data/group_bold.tsv",
    "mriqc_data/group_dwi.tsv",
    "participants.json",
    "participants_psychology.tsv",
)
IMAGE = re.compile(r"sub-\w+/\w+/sub-[\w-]+_(T1w|T2w|dwi|bold)\.nii\.gz")


def entry(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def registry(clone: Path, annex_list: Path, participants: Path) -> dict[str, tuple[int, str]]:
    rows = {name: entry(clone / name) for name in TABLES}
    rows["participants.tsv"] = entry(participants)
    for suffix in ("json", "bval", "bvec"):
        for path in clone.glob(f"sub-*/*/*.{suffix}"):
            rows[path.relative_to(clone).as_posix()] = entry(path)
    for line in annex_list.read_text(encoding="utf-8").splitlines():
        name, size, digest = line.split("\t")
        name = name.removeprefix("./")
        if IMAGE.fullmatch(name):
            rows[name] = int(size), digest
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("clone", "annex_list", "participants", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    rows = registry(given.clone, given.annex_list, given.participants)
    lines = [f"{name}\t{size}\t{digest}\n" for name, (size, digest) in sorted(rows.items())]
    given.out.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{len(lines)} files in {given.out}")


if __name__ == "__main__":
    main()
