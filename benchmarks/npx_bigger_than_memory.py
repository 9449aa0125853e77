"""Can an NPX export be read that is bigger than the memory allowed? A trial with 25 million rows.

Writes an export in the columns of Explore HT (5,000 samples × 5,000 assays) piece by piece to a
temporary folder, reads it in a process of its own whose address space is limited by the kernel
(``RLIMIT_AS``), and prints the size of the file, the time, and the most memory that was ever
resident. Without streaming, rows of text alone need some 300 bytes each. The files, of up to 5 GB,
are deleted at the end. Linux only::

    python benchmarks/npx_bigger_than_memory.py [--samples 5000] [--assays 5000] [--limit 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from test_npx import READ, write_export


def read_limited(path: Path, limit_gb: float) -> dict[str, float] | str:
    """Read an export in a process of limited address space; return its figures or its error.

    Parameters
    ----------
    path : Path
        The export.
    limit_gb : float
        Of the address space, in 10⁹ bytes. It counts what is reserved, more than what is used.
    """
    most = int(limit_gb * 1e9)
    # Arrow's own allocator reserves 1 GB of addresses at once, used or not; the limit counts them.
    plain = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True, text=True, env={**os.environ, **plain},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )  # fmt: skip
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr else f"exit {done.returncode}"
    cpu, wall, peak, before, n, p = (float(word) for word in done.stdout.split())
    return {"cpu_s": cpu, "wall_s": wall, "peak_gb": peak / 1e6, "import_gb": before / 1e6,
            "samples": n, "assays": p}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--assays", type=int, default=5000)
    parser.add_argument("--limit", type=float, default=3.0, help="GB of address space")
    parser.add_argument("--formats", nargs="+", default=["csv", "parquet"])
    parser.add_argument("--by-assay", action="store_true", help="rows assay by assay")
    asked = parser.parse_args()
    rows = asked.samples * asked.assays
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 600 * rows:
        parser.error(f"{free / 1e9:.1f} GB free in the temporary folder, {600 * rows / 1e9:.1f} "
                     "needed")  # fmt: skip
    for suffix in asked.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"export.{suffix}"
            write_export(path, asked.samples, asked.assays, asked.by_assay)
            size = path.stat().st_size / 1e9
            print(f"{suffix}: {rows / 1e6:.0f} million rows, {size:.2f} GB; limit {asked.limit} GB")
            found = read_limited(path, asked.limit)
        if isinstance(found, str):
            print(f"  not read: {found}")
            continue
        for key, value in found.items():
            print(f"  {key:<10}{value:,.2f}")


if __name__ == "__main__":
    main()
