"""What moved the predictions of people, by feature, block and mechanism."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from scipy.special import expit

from ...errors import FormatError
from ...evaluation.explain import Explanation, feature_direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FusionExplanation"]

Level = Literal["feature", "block", "mechanism"]


@dataclasses.dataclass(frozen=True, repr=False)
class FusionExplanation(Explanation):
    """What features, blocks and mechanisms add to the log odds of each person.

    Parameters
    ----------
    values : pandas.DataFrame of shape (n_predictions, n_features)
        SHAP values in log odds, columns (block, feature). 0 where the person lacks the block.
        With `base` they add up to the log odds of the prediction, exactly.
    data : pandas.DataFrame of the same shape
        The features in their own units, missing where they weren't measured.
    base : numpy.ndarray of shape (n_predictions,)
        What the values start from: the log odds of an average training person who has the
        same blocks. It differs between people who have different blocks, and between folds.
    unit : str
        "log odds".
    status : pandas.DataFrame of shape (n_predictions, n_blocks)
        "used", "missing" (the person lacks the block), or "unused" (the model left it out).
    mechanisms : pandas.Series of str
        By (block, feature).
    synthetic : bool, default False
        Whether the people are made up.
    """

    status: pd.DataFrame
    mechanisms: pd.Series
    synthetic: bool = False

    @property
    def score(self) -> pd.Series:
        """Log odds of each prediction."""
        return self.base + self.values.sum(axis=1)

    @property
    def p(self) -> pd.Series:
        """Probability of each prediction."""
        return pd.Series(expit(self.score), self.values.index)

    def by_block(self) -> pd.DataFrame:
        """Sum the values over the features of each block.

        Returns
        -------
        pandas.DataFrame of shape (n_predictions, n_blocks)
            0 where the block is missing or unused; see `status`.
        """
        summed = self.values.T.groupby(level="block", sort=False).sum().T
        return summed.reindex(columns=self.status.columns, fill_value=0.0)

    def by_mechanism(self) -> pd.DataFrame:
        """Sum the values over the features of each mechanism.

        Returns
        -------
        pandas.DataFrame of shape (n_predictions, n_mechanisms)
            In the order of the mean absolute value.
        """
        summed = self.values.T.groupby(self.mechanisms.to_numpy(), sort=False).sum().T
        ranked = summed.abs().mean().sort_values(ascending=False, kind="stable")
        return summed[ranked.index.tolist()].rename_axis(columns="mechanism")

    def has_mechanism(self) -> pd.DataFrame:
        """Tell whose data speak of each mechanism.

        Returns
        -------
        pandas.DataFrame of bool, shape (n_predictions, n_mechanisms)
            Columns as in `by_mechanism`.
        """
        used = self.status == "used"
        blocks = self.mechanisms.index.get_level_values("block")
        found = {
            name: used[list(dict.fromkeys(blocks[(self.mechanisms == name).to_numpy()]))].any(
                axis=1
            )
            for name in map(str, self.by_mechanism())
        }
        return pd.DataFrame(found, self.values.index)

    def importance(self, level: Level = "feature") -> pd.DataFrame:
        """Rank features, blocks or mechanisms.

        Parameters
        ----------
        level : {"feature", "block", "mechanism"}, default "feature"
            What to rank.

        Returns
        -------
        pandas.DataFrame
            Ordered; ``mean_abs`` is the mean |SHAP value| over all predictions, those of people
            who lack the block included; ``n`` the predictions of people who have it. For
            features also ``mechanism`` and ``direction``, the sign of the rank correlation of
            the feature with its value.
        """
        if level == "mechanism":
            values, has = self.by_mechanism(), self.has_mechanism()
            frame = pd.DataFrame({"mean_abs": values.abs().mean(), "n": has.sum()})
        elif level == "block":
            values = self.by_block()
            frame = pd.DataFrame(
                {"mean_abs": values.abs().mean(), "n": (self.status == "used").sum()}
            )
        elif level == "feature":
            of = self.values.columns.get_level_values("block")
            frame = pd.DataFrame({
                "mean_abs": self.values.abs().mean(),
                "n": (self.status == "used").sum().reindex(of).to_numpy(),
                "direction": [
                    feature_direction(self.values[name], self.data[name]) for name in self.values
                ],
                "mechanism": self.mechanisms,
            })  # fmt: skip
        else:
            raise FormatError(f"level is 'feature', 'block' or 'mechanism', found {level!r}")
        return frame.sort_values("mean_abs", ascending=False, kind="stable")

    def plot(self, kind: str = "mechanisms", *, max_rows: int = 12, ax: Any = None) -> Axes:
        """Draw what moved the predictions.

        Parameters
        ----------
        kind : {"mechanisms", "blocks", "features"}, default "mechanisms"
            Which sums, one point per prediction. Features are coloured by their values.
        max_rows : int, default 12
            How many to show.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from . import figures

        return figures.summary(self, kind, max_rows, ax)

    def __repr__(self) -> str:
        n, people = len(self.values), self.values.index.nunique()
        ranked = self.importance("block")["mean_abs"]
        lines = [
            f"FusionExplanation: {n} predictions of {people} people"
            + (" – SYNTHETIC DATA" if self.synthetic else ""),
            "  mean |SHAP| in log odds: "
            + ", ".join(f"{name} {value:.2f}" for name, value in ranked.items()),
            "  see .by_block() .by_mechanism() .importance() .plot()",
        ]
        return "\n".join(lines)
