"""Gene sets among the changed proteins, from local files and on the assayed universe."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import AlignmentError, DataWarning, FormatError, MissingModalityError, list_some
from ..stats.multiplicity import adjust_p
from ._match import split_names

__all__ = ["enrich", "enrich_ranking", "read_gmt"]

GeneSets = Mapping[str, Collection[str]]


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read gene sets from a GMT file: name, description, genes, separated by tabs.

    Parameters
    ----------
    path : str or Path
        The file; nothing is ever downloaded.

    Returns
    -------
    dict of str to list of str
        Genes of each set, in upper case, each once.

    Raises
    ------
    FormatError
        When a line has no tab, or a name occurs twice.
    FileNotFoundError
        When there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sets.gmt"
    >>> _ = path.write_text(chr(9).join(["AXON", "made up", "NEFL", "TBCB"]))
    >>> read_gmt(path)
    {'AXON': ['NEFL', 'TBCB']}
    """
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        if len(rest) < 2 or not name.strip():
            raise FormatError(
                f"expected a name, a description and genes, separated by tabs, found {line[:60]!r}",
                where=f"{path}, line {number}",
            )
        if name in sets:
            raise FormatError(f"the set {name!r} is there twice", where=f"{path}, line {number}")
        sets[name] = list(dict.fromkeys(gene.strip().upper() for gene in rest[1:] if gene.strip()))
    return sets


def enrich(
    hits: Collection[str] | pd.DataFrame,
    gene_sets: GeneSets | str | Path,
    *,
    universe: Collection[str] | None = None,
    threshold: float = 0.05,
    min_size: int = 3,
    max_size: int = 500,
) -> pd.DataFrame:
    """Find gene sets that the changed proteins share more with than chance would.

    Over-representation: with N assayed proteins, K of them in the set and n changed, the
    number of changed ones in the set is hypergeometric. The universe is what was assayed: an
    Olink panel on inflammation is full of inflammation whatever the disease.

    Parameters
    ----------
    hits : collection of str or pandas.DataFrame
        Genes of the changed proteins; or a result of `differential`, whose ``gene`` and
        ``q_value`` then tell hits and universe. A group (``"C4A;C4B"``) counts once, by its
        first gene.
    gene_sets : mapping of str to collection of str, or path
        Genes of each set, or a GMT file.
    universe : collection of str, optional
        Genes of all assayed proteins; needed with names.
    threshold : float, default 0.05
        For a result: proteins with ``q_value`` below it are hits.
    min_size, max_size : int, default 3, 500
        Sets with fewer or more assayed genes aren't tested, nor counted as tests.

    Returns
    -------
    pandas.DataFrame
        One row per tested set, smallest p first: index ``gene_set``; ``n_universe, n_set``
        (assayed), ``n_hits, n_shared, expected, ratio, p_value, q_value, genes``. ``attrs``:
        ``n_sets`` and ``n_tested``.

    Raises
    ------
    FormatError
        When names come without a universe, or a column is missing.
    AlignmentError
        When a hit isn't in the universe.

    Examples
    --------
    >>> universe = [f"G{i}" for i in range(100)]
    >>> table = enrich(universe[:10], {"first": universe[:8], "last": universe[90:]},
    ...                universe=universe)
    >>> table.index.tolist(), table["n_shared"].tolist()
    (['first', 'last'], [8, 0])
    """
    if isinstance(hits, pd.DataFrame):
        absent = [column for column in ("gene", "q_value") if column not in hits]
        if absent:
            raise FormatError(f"expected the column {list_some(absent)}", where="hits")
        tested = hits[hits["q_value"].notna()]
        everyone = _genes(tested["gene"])
        found = _genes(tested.loc[tested["q_value"] < threshold, "gene"])
    else:
        if universe is None:
            raise FormatError(
                "names need a universe: the genes of all assayed proteins", where="universe"
            )
        everyone, found = _genes(universe), _genes(hits)
        unknown = sorted(found - everyone)
        if unknown:
            raise AlignmentError(f"hits that weren't assayed: {list_some(unknown)}", where="hits")
    total, n = len(everyone), len(found)
    sets = _as_sets(gene_sets)
    rows: list[dict[str, Any]] = []
    for name, genes in sets.items():
        own = genes & everyone
        if not min_size <= len(own) <= max_size:
            continue
        shared = own & found
        expected = len(own) * n / total
        rows.append(
            {
                "gene_set": name,
                "n_universe": total,
                "n_set": len(own),
                "n_hits": n,
                "n_shared": len(shared),
                "expected": expected,
                "ratio": len(shared) / expected if expected else np.nan,
                "p_value": min(1.0, float(stats.hypergeom.sf(len(shared) - 1, total, len(own), n))),
                "genes": sorted(shared),
            }
        )
    columns = ["gene_set", "n_universe", "n_set", "n_hits", "n_shared", "expected", "ratio",
               "p_value", "genes"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns).set_index("gene_set")
    table.insert(len(columns) - 2, "q_value", adjust_p(table["p_value"].to_numpy(float)))
    table = table.sort_values("p_value", kind="stable")
    table.attrs = {"n_sets": len(sets), "n_tested": len(table)}
    return table


def enrich_ranking(
    ranking: pd.Series,
    gene_sets: GeneSets | str | Path,
    *,
    min_size: int = 5,
    max_size: int = 500,
    n_permutations: int = 1000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Gene set enrichment of a whole ranking (preranked GSEA, by the package ``gseapy``).

    Parameters
    ----------
    ranking : pandas.Series
        A signed statistic such as t, index gene. Of a gene with several assays the largest
        absolute value counts; a warning says so.
    gene_sets : mapping of str to collection of str, or path
        Genes of each set, or a GMT file; nothing is downloaded.
    min_size, max_size : int, default 5, 500
        Assayed genes of a tested set.
    n_permutations : int, default 1000
        Permutations of the genes.
    random_state : int, default 0
        Seed.

    Returns
    -------
    pandas.DataFrame
        Index ``gene_set``; ``es, nes, p_value, q_value, genes`` (leading edge).

    Raises
    ------
    MissingModalityError
        When ``gseapy`` isn't installed.
    FormatError
        When no set has enough assayed genes.

    References
    ----------
    Subramanian et al., PNAS 102, 15545 (2005); Fang et al., Bioinformatics 39, btac757 (2023).

    Examples
    --------
    >>> enrich_ranking(ranking, "hallmark.gmt")  # doctest: +SKIP
    """
    try:
        import gseapy  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingModalityError(
            "preranked enrichment needs the package gseapy, which isn't installed",
            remedy="pip install 'precisionpain[enrichment]', or test the hits with enrich()",
        ) from error
    genes = ranking.index.to_series().map(lambda value: next(iter(split_names(value)), None))
    values = pd.Series(ranking.to_numpy(dtype=float), index=genes.to_numpy())
    values = values[np.asarray(values.index.notna()) & values.notna().to_numpy()]
    values = values.iloc[np.argsort(-values.abs().to_numpy(), kind="stable")]
    twice = values.index.duplicated()
    if twice.any():
        warnings.warn(
            DataWarning(
                f"{int(twice.sum())} further assays of the same genes are left out: "
                f"{list_some(values.index[twice].unique())}"
            ),
            stacklevel=2,
        )
    values = values[~twice].sort_values(ascending=False)
    everyone = set(values.index)
    sets = {name: sorted(own & everyone) for name, own in _as_sets(gene_sets).items()}
    sets = {name: own for name, own in sets.items() if min_size <= len(own) <= max_size}
    if not sets:
        raise FormatError(
            f"no set has {min_size} to {max_size} of the {len(everyone)} assayed genes",
            where="gene_sets",
        )
    found = gseapy.prerank(
        rnk=values, gene_sets=sets, min_size=min_size, max_size=max_size, outdir=None,
        permutation_num=n_permutations, seed=random_state, threads=1, no_plot=True, verbose=False,
    ).res2d  # fmt: skip
    names = {"Term": "gene_set", "ES": "es", "NES": "nes", "NOM p-val": "p_value",
             "FDR q-val": "q_value", "Lead_genes": "genes"}  # fmt: skip
    table = found.rename(columns=names)[list(names.values())].set_index("gene_set")
    table["genes"] = [genes.split(";") for genes in table["genes"]]
    return table.astype(dict.fromkeys(("es", "nes", "p_value", "q_value"), float))


def _genes(values: Any) -> set[str]:
    return {first for value in values if (first := next(iter(split_names(value)), None))}


def _as_sets(gene_sets: GeneSets | str | Path) -> dict[str, set[str]]:
    sets = gene_sets if isinstance(gene_sets, Mapping) else read_gmt(gene_sets)
    return {str(name): {str(gene).upper() for gene in genes} for name, genes in sets.items()}
