"""What a search for subtypes found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..errors import FormatError, list_some
from .subtype_classifier import UNASSIGNED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SubtypeResult"]

Kind = Literal["profile", "factors", "consensus"]


@dataclasses.dataclass(frozen=True, repr=False)
class SubtypeResult:
    """What a search for subtypes found, and how sure that is.

    Parameters
    ----------
    found : bool
        Whether there are subtypes. Where not, everybody is in "one cluster".
    reasons : tuple of str
        Why not.
    labels : pandas.Series
        Subtype by subject id; "unassigned" for people of whom too little is known.
    probabilities : pandas.DataFrame
        People × subtypes; rows sum to 1.
    choices : pandas.DataFrame
        Index ``n_clusters``: ``gain`` in log-likelihood over one cluster, its ``excess`` over
        that of cohorts without clusters in SD of theirs, and, where one cluster isn't enough,
        ``pac``, ``stability`` (mean adjusted Rand index) and ``smallest`` (people).
    one_cluster_p : float
        p-value of the test against one cluster, over all numbers of clusters.
    site_test : pandas.DataFrame
        Association of the clusters with site and plates: ``cramers_v``, ``p_value``…
    profile : pandas.DataFrame
        Columns × subtypes: distance of the subtype from all others, in pooled SD.
    mechanism_profile : pandas.DataFrame
        Subtypes × mechanisms: the same of their scores.
    name_reasons : dict of str to str
        Why each subtype is called so.
    factors : pandas.DataFrame
        People × factors.
    consensus : pandas.DataFrame or None
        How often two people were together in random parts.
    model : SubtypeModel
        Assigns new people.
    synthetic : bool
        Whether the people are made up.
    """

    found: bool
    reasons: tuple[str, ...]
    labels: pd.Series
    probabilities: pd.DataFrame
    choices: pd.DataFrame
    one_cluster_p: float
    site_test: pd.DataFrame
    profile: pd.DataFrame
    mechanism_profile: pd.DataFrame
    name_reasons: dict[str, str]
    factors: pd.DataFrame
    consensus: pd.DataFrame | None
    model: Any
    synthetic: bool

    @property
    def n_clusters(self) -> int:
        """Number of subtypes; 1 where none were found."""
        return int(self.probabilities.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the subtypes, the largest first."""
        return tuple(self.probabilities.columns)

    @property
    def pac(self) -> float:
        """Proportion of ambiguous pairs, at the chosen number of clusters; NaN for one."""
        return self._chosen("pac")

    @property
    def stability(self) -> float:
        """Mean adjusted Rand index of clusterings of random parts; NaN for one cluster."""
        return self._chosen("stability")

    def _chosen(self, column: str) -> float:
        if self.n_clusters not in self.choices.index or column not in self.choices:
            return float("nan")
        return float(self.choices[column].to_dict()[self.n_clusters])

    def summary(self) -> pd.DataFrame:
        """Return a row for each subtype.

        Returns
        -------
        pandas.DataFrame
            Index ``subtype``: ``n``, ``share`` (of those assigned), ``probability`` (mean, of
            its people), ``why`` (it is called so).
        """
        rows = {}
        assigned = int((self.labels != UNASSIGNED).sum())
        for name in self.names:
            own = (self.labels == name).to_numpy()
            rows[name] = {
                "n": int(own.sum()),
                "share": own.sum() / max(assigned, 1),
                "probability": self.probabilities.loc[own, name].mean(),
                "why": self.name_reasons.get(name, "; ".join(self.reasons)),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("subtype")

    def plot(self, kind: Kind = "profile", *, ax: Axes | None = None) -> Axes:
        """Draw what was found.

        Parameters
        ----------
        kind : {"profile", "factors", "consensus"}, default "profile"
            Mechanisms of each subtype; the people in the two factors that separate them best;
            or how often two people were together.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        FormatError
            When there is no such figure, or no subtypes to draw.
        """
        from ._subtypes import figures

        kinds = {
            "profile": figures.profile,
            "factors": figures.factors,
            "consensus": figures.consensus,
        }
        if kind not in kinds:
            raise FormatError(f"kind is one of {list_some(kinds)}, found {kind!r}")
        return kinds[kind](self, ax=ax)

    def __repr__(self) -> str:
        made_up = " – SYNTHETIC DATA" if self.synthetic else ""
        n = len(self.labels)
        rest = int((self.labels == UNASSIGNED).sum())
        lines = []
        if self.found:
            lines.append(f"SubtypeResult: {self.n_clusters} subtypes of {n} people{made_up}")
            for name in self.names:
                size = int((self.labels == name).sum())
                lines.append(f"  {name:<16} {size:4d}  {self.name_reasons[name]}")
            lines.append(
                f"  one cluster: p = {self.one_cluster_p:.3f}; PAC {self.pac:.2f}; "
                f"stability {self.stability:.2f}"
            )
        else:
            lines.append(f"SubtypeResult: no subtypes among {n} people{made_up}")
            lines += [f"  {reason}" for reason in self.reasons]
        for nuisance, row in self.site_test.iterrows():
            lines.append(
                f"  against {nuisance}: Cramér's V {row['cramers_v']:.2f}, p = {row['p_value']:.3f}"
            )
        if rest:
            lines.append(f"  {rest} people unassigned: too little is known of them")
        return "\n".join(lines)
