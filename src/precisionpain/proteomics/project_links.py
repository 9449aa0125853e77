"""Bring many projects to one level, along the links between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AlignmentError, FormatError, list_some
from ._normalization.projects import Project, by_bridges, by_subset, join
from ._normalization.rows import Ids
from .normalization import NOT_PASSED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ProjectLink", "normalize_projects"]


@dataclass(frozen=True, eq=False)
class ProjectLink:
    """How one project is brought to the level of others.

    Parameters
    ----------
    new : str
        Name of the project that is moved.
    to : str or sequence of str
        Projects that it is brought to, each at the level that it has by then. With several, a
        bridge sample is taken from the first that has it.
    method : {"bridge", "subset", "intensity"}, default "bridge"
        See `bridge_normalize`, `subset_normalize` and `intensity_normalize`.
    ids : iterable or mapping, optional
        The bridge ids; or the subset of the new project.
    reference_ids : iterable, optional
        The subset of the reference.
    on : str, optional
        Column of ``obs`` that holds the ids; by default the index.

    Examples
    --------
    >>> ProjectLink("2024", "2023", ids=["S01", "S02"]).method
    'bridge'
    """

    new: str
    to: str | Sequence[str]
    method: str = "bridge"
    ids: Ids | None = None
    reference_ids: Iterable[Any] | None = None
    on: str | None = None


def normalize_projects(
    projects: Mapping[str, AnnData],
    links: Sequence[ProjectLink],
    *,
    exclude_qc: Collection[str] = NOT_PASSED,
    keep_bridges: bool = False,
    assays: str = "all",
) -> AnnData:
    """Bring many projects to one level, each by its own link to others.

    Parameters
    ----------
    projects : mapping of str to anndata.AnnData
        All projects. The one that no link moves is the reference of all.
    links : sequence of ProjectLink
        One for each other project, in any order.
    exclude_qc, keep_bridges, assays
        As for `bridge_normalize`.

    Returns
    -------
    anndata.AnnData
        As of `bridge_normalize`; projects in the order of `projects`.

    Raises
    ------
    AlignmentError
        When links name unknown projects, move one twice, go in a circle, or leave more than
        one project unmoved.
    FormatError
        When a link's method is unknown, or has no ids where it needs them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> first = pp.datasets.sample_tn().assays["csf_pea"]
    >>> first = first[first.obs["sample_type"] == "SAMPLE"].copy()
    >>> second, third = first.copy(), first.copy()
    >>> second.X, third.X = second.X + 1, third.X - 1
    >>> ids = list(first.obs_names)
    >>> all_three = normalize_projects(
    ...     {"A": first, "B": second, "C": third},
    ...     [ProjectLink("C", "B", ids=ids), ProjectLink("B", "A", ids=ids)])
    >>> all_three.varm["adjustment"].round(3).iloc[0].tolist()
    [0.0, -1.0, 1.0]
    """
    parts = {str(name): Project(name, adata, exclude_qc) for name, adata in projects.items()}
    for link in _in_order(list(parts), links):
        to = [parts[name] for name in _to(link)]
        if link.method == "bridge":
            if link.ids is None:
                raise FormatError("a bridge needs ids", where=f"the link of {link.new!r}")
            by_bridges(to, parts[link.new], link.ids, on=link.on, keep=keep_bridges)
        elif link.method in ("subset", "intensity"):
            ids = link.ids if link.method == "subset" else None
            by_subset(to, parts[link.new], link.reference_ids, ids,
                      on=link.on, method=link.method)  # fmt: skip
        else:
            raise FormatError(
                f"expected 'bridge', 'subset' or 'intensity', found {link.method!r}",
                where=f"the link of {link.new!r}",
            )
    return join(list(parts.values()), assays=assays)


def _to(link: ProjectLink) -> list[str]:
    return [link.to] if isinstance(link.to, str) else list(link.to)


def _in_order(names: list[str], links: Sequence[ProjectLink]) -> list[ProjectLink]:
    """Return the links such that each reference is at its level before it is used."""
    moved = [link.new for link in links]
    unknown = {n for link in links for n in (link.new, *_to(link))} - set(names)
    if unknown:
        raise AlignmentError(
            f"links name unknown projects: {list_some(sorted(unknown))}", where="links",
            remedy=f"the projects are {list_some(names)}",
        )  # fmt: skip
    twice = sorted({name for name in moved if moved.count(name) > 1})
    fixed = [name for name in names if name not in moved]
    if twice or len(fixed) > 1:
        raise AlignmentError(
            f"expected one link for each project but one; moved twice: {twice}, not moved: {fixed}",
            where="links",
        )
    done, ordered, rest = set(fixed), [], list(links)
    while rest:
        ready = [link for link in rest if set(_to(link)) <= done and _to(link)]
        if not ready:
            raise AlignmentError(
                f"the links go in a circle: {list_some(link.new for link in rest)}",
                where="links", remedy="let one project, which no link moves, be the reference",
            )  # fmt: skip
        ordered += ready
        done |= {link.new for link in ready}
        rest = [link for link in rest if link not in ready]
    return ordered
