"""Known mixtures of three species: what the readers and roll-ups make of the true ratios.

The exports are those of ProteoBench (Apache-2.0; LFQ of human, yeast and E. coli digests, in
which A:B is 1:1, 2:1 and 1:4), read from a folder that holds ``quant_lfq_ion_DDA_QExactive`` and
``quant_lfq_ion_DIA_AIF``. They are subsets of a few hundred to a few thousand ions. Prints for each
export and method the median over proteins of the log2 ratio less the truth, beside it the same of
the ions that went in (a roll-up can't repair what the ions have lost), and what is left after the
human median is taken off. About 10 s:

    python benchmarks/science/lfq_species.py FOLDER [--methods maxlfq sum median_polish directlfq]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from precisionpain import proteomics as pr

if TYPE_CHECKING:
    from anndata import AnnData

TRUTH = {"HUMAN": 0.0, "YEAST": 1.0, "ECOLI": -2.0}
DDA, DIA = "quant_lfq_ion_DDA_QExactive/", "quant_lfq_ion_DIA_AIF/"


def exports(folder: Path) -> dict[str, Callable[[], AnnData]]:
    """Return export → a function that reads its ions."""

    def matrix(name: str, columns: str, ion: list[str], protein: str) -> AnnData:
        return pr.read_matrix(folder / name, log2=False, columns=columns, ion=ion, protein=protein)

    def maxquant(name: str) -> AnnData:
        return pr.read_maxquant(folder / name, run="raw_file", level="ion")

    return {
        "DDA MaxQuant 1": lambda: maxquant(DDA + "MaxQuant_evidence_sample.txt"),
        "DDA MaxQuant 2.5": lambda: maxquant(DDA + "MaxQuant_2_5_1_evidence_sample.txt"),
        "DDA FragPipe": lambda: pr.read_fragpipe(
            folder / DDA / "FragPipe_MSFragger_combined_ion.tsv", level="ion"
        ),
        "DDA Sage": lambda: matrix(
            DDA + "sage_sample_input_lfq.tsv", r"(LFQ.+)\.mzML\.gz", ["peptide", "charge"],
            "proteins",
        ),
        "DDA custom": lambda: matrix(
            DDA + "CustomFormat_DDA_quant_ions_test.txt", r"LFQ.+",
            ["Modified sequence", "Charge"], "Proteins",
        ),
        "DIA DIA-NN": lambda: pr.read_diann(
            folder / DIA / "DIANN_1.9_beta_sample_report.tsv", level="ion"
        ),
        "DIA MaxDIA": lambda: maxquant(DIA + "MaxDIA_sample_test.txt"),
        "DIA FragPipe": lambda: pr.read_fragpipe(
            folder / DIA / "Fragpipe_combined_ion.tsv", level="ion"
        ),
        "DIA PEAKS": lambda: matrix(
            DIA + "PEAKS.lfq.dia.features.sample5000.csv", r"(LFQ.+)\.raw Normalized Area",
            ["Peptide", "PTM", "z", "m/z"], "Accession",
        ),
    }  # fmt: skip


def species_of(ions: AnnData) -> pd.Series:
    """Return the species of each ion; None where its proteins are of several or of none."""
    names = ions.var["original_group"]
    if not names.str.contains("_").any():
        # A DIA-NN report names proteins in a column of its own.
        source = pd.read_csv(ions.uns["precisionpain"]["source"], sep="\t", dtype=str)
        report = source.drop_duplicates("Protein.Group").set_index("Protein.Group")
        names = names.map(report["Protein.Names"]).fillna("")
    found = names.str.upper().str.findall("|".join(TRUTH)).map(set)
    return found.map(lambda species: next(iter(species)) if len(species) == 1 else None)


def log2_ratio(adata: AnnData) -> np.ndarray:
    """Return the mean of condition A less that of B; NaN where one has no value."""
    in_a = adata.obs_names.str.contains("_A_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
        return np.nanmean(adata.X[in_a], axis=0) - np.nanmean(adata.X[~in_a], axis=0)


def errors(ions: AnnData, method: str | None) -> pd.DataFrame:
    """Return species × (n, error of the median, that less the human one)."""
    species = species_of(ions)
    keep = species.notna().to_numpy()
    ions, species = ions[:, keep].copy(), species[keep]
    if method is None:
        adata, labels = ions, species.to_numpy()
    else:
        adata = pr.roll_up(ions, method=method)
        by_group = dict(zip(ions.var["protein_group"], species, strict=True))
        labels = np.array([by_group[name] for name in adata.var_names])
    ratio = log2_ratio(adata)
    rows = {}
    for name, true in TRUTH.items():
        mine = ratio[labels == name]
        mine = mine[np.isfinite(mine)]
        rows[name] = (len(mine), np.median(mine) - true if len(mine) else np.nan)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["n", "error"])
    table["centred"] = table["error"] - table.loc["HUMAN", "error"]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", default=["maxlfq", "sum", "median_polish"])
    chosen = parser.parse_args()
    for name, read in exports(chosen.folder).items():
        ions = read()
        for method in (None, *chosen.methods):
            table = errors(ions, method)
            cells = [
                f"{species.lower()} {row.n:5.0f} {row.error:+.3f} ({row.centred:+.3f})"
                for species, row in table.iterrows()
            ]
            print(f"{name:17s} {method or 'ions':14s}", "   ".join(cells))


if __name__ == "__main__":
    main()
