"""Pictures of a person: the nerves and their contact, and the probability on its line."""

from __future__ import annotations

import warnings
from typing import Any

from ..._plot_style import DASHED, INK, MUTED, PALETTE, SMALL, label, styled
from ...cohort import Cohort
from ...errors import DataWarning, PrecisionPainError
from ...trigeminal import (
    plot_compression_3d,
    plot_profile,
    plot_reformat,
    plot_section,
    trace_nerves,
)
from ...trigeminal._scan.pictures import telling_position
from .._figures import png
from .nerves import last_visit

Picture = tuple[bytes, str]


def nerve_pictures(
    view: Cohort, subject_id: str, image: str, labels: str
) -> tuple[dict[str, Picture], str]:
    """Draw the nerves of the last scan before the landmark.

    Returns
    -------
    (dict of str to (PNG, text), str)
        The pictures, and why there are none.
    """
    person = view.subject(subject_id)
    files = person.images
    listed = files[files["contrast"].isin([image, labels])] if len(files) else files
    if listed.empty:
        return {}, "No scan."
    if not (listed["contrast"] == labels).any():
        return {}, f"There is a scan, but no label image ({labels!r}) to draw the nerves from."
    visit = last_visit(view, listed.loc[listed["contrast"] == labels, "visit"])
    mark = view.synthetic
    try:
        drawn_labels = person.image(labels, visit=visit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            traces = trace_nerves(drawn_labels)
        found: dict[str, Picture] = {
            "scene": _picture(
                plot_compression_3d(traces, drawn_labels, synthetic=mark), mark,
                "Nerves, vessels and pons in 3-D; where a vessel touches is coloured.",
            ),
            "profile": _picture(
                plot_profile(traces, synthetic=mark), mark, "Area along both nerves."
            ),
        }  # fmt: skip
        if not ((listed["contrast"] == image) & (listed["visit"] == visit)).any():
            return found, f"The scan itself ({image!r}) isn't there; the labels alone are drawn."
        scan = person.image(image, visit=visit)
        for side, trace in traces.items():
            if trace is None:
                continue
            options: dict[str, Any] = {"labels": drawn_labels, "synthetic": mark}
            found[f"reformat_{side}"] = _picture(
                plot_reformat(scan, trace, **options), mark, f"Along the {side} nerve."
            )
            found[f"section_{side}"] = _picture(
                plot_section(scan, trace, telling_position(trace), **options), mark,
                f"Across the {side} nerve, where a vessel comes nearest or the nerve is thinnest.",
            )  # fmt: skip
    except PrecisionPainError as error:
        return {}, f"The scan could not be drawn: {error.what}"
    return found, ""


def _picture(ax: Any, synthetic: bool, text: str) -> Picture:
    return png(ax.figure), f"{'Synthetic data. ' if synthetic else ''}{text}"


def probability_picture(found: dict[str, Any], synthetic: bool) -> Picture:
    """Draw the probability on a line from 0 to 1, with its interval and the base rate."""
    ax = styled(None, (7.0, 1.5), "")
    p, low, high, base = (found[k] for k in ("p", "p_low", "p_high", "base_rate"))
    ax.axhline(0, color=MUTED, lw=1, zorder=1)
    if low is not None and high is not None:
        ax.plot([low, high], [0, 0], color=PALETTE[0], lw=7, alpha=0.35, solid_capstyle="butt",
                zorder=2)  # fmt: skip
    ax.plot([p], [0], "o", ms=11, color=PALETTE[0], zorder=3)
    ax.annotate(f"{p:.2f}", (p, 0), xytext=(0, 10), textcoords="offset points", ha="center",
                fontsize=11, fontweight="bold", color=INK)  # fmt: skip
    if base is not None:
        ax.plot([base, base], [-0.5, 0.5], color=MUTED, lw=1.3, ls=DASHED, zorder=1)
        ax.annotate("all", (base, -0.5), xytext=(3, 0), textcoords="offset points",
                    fontsize=SMALL, color=MUTED)  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, 1.0), yticks=[])
    ax.spines["left"].set_visible(False)
    label(ax, f"Probability of {found['outcome'] or 'the outcome'}")
    text = f"Probability {p:.2f}"
    if low is not None and high is not None:
        text += f", {low:.2f} to {high:.2f}"
    if base is not None:
        text += f"; {base:.2f} in all"
    return _picture(ax, synthetic, f"{text}.")
