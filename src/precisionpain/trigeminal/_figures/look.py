"""Colours and small marks that the figures of nerves share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._plot_style import INK, PALETTE, SMALL
from ...plots import mark_synthetic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = [
    "CONTACT",
    "NERVE",
    "PONS",
    "SIDE_COLOUR",
    "VESSEL_COLOUR",
    "below",
    "on_image",
    "stamp",
]

SIDE_COLOUR = {"left": PALETTE[2], "right": PALETTE[3]}
VESSEL_COLOUR = {"artery": PALETTE[1], "vein": PALETTE[5]}
CONTACT = "#F0E442"  # the yellow of Okabe and Ito
NERVE, PONS = "#ecdcae", "#c9c4bd"


def on_image(ax: Axes, x: float, y: float, text: str, **options: Any) -> Text:
    """Write on a grey image: white on a dark tag, legible on fluid and on bone."""
    tag = {"boxstyle": "round,pad=0.25", "fc": INK, "ec": "none", "alpha": 0.6}
    chosen: dict[str, Any] = {"color": "white", "fontsize": SMALL, "zorder": 8, **options}
    return ax.text(x, y, text, bbox=tag, **chosen)


def below(ax: Axes, handles: list[Any], columns: int) -> None:
    """Put a legend under the axes, where it hides nothing."""
    from matplotlib.transforms import ScaledTranslation

    under_axis_label = ax.transAxes + ScaledTranslation(0, -40 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=handles, frameon=False, fontsize=SMALL, labelcolor=INK, ncol=columns,
        loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=under_axis_label,
        borderaxespad=0, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip


def stamp(ax: Axes, synthetic: bool, on_dark: bool = False) -> None:
    """Mark a figure of simulated anatomy as such."""
    if synthetic:
        mark_synthetic(ax)
        if on_dark:
            ax.texts[-1].set(color="white", alpha=0.3)
