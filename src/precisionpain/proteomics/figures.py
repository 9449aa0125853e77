"""Figures of proteins: samples, assays, differences, panels.

Each draws on the axes that it is given or on new ones (``ax.figure``), counts in its caption
what it doesn't show, names no people unless asked to, and leaves pyplot and ``rcParams`` alone.
"""

from __future__ import annotations

from ._figures.abundance import plot_abundance
from ._figures.bridge import plot_bridge, plot_bridgeability
from ._figures.detection import plot_lod, plot_missing
from ._figures.effects import plot_panel_forest, plot_volcano
from ._figures.embedding import plot_pca, plot_umap
from ._figures.heatmap import plot_heatmap
from ._figures.radar import plot_panel_radar
from ._figures.samples import plot_distribution, plot_sample_qc

__all__ = [
    "plot_abundance",
    "plot_bridge",
    "plot_bridgeability",
    "plot_distribution",
    "plot_heatmap",
    "plot_lod",
    "plot_missing",
    "plot_panel_forest",
    "plot_panel_radar",
    "plot_pca",
    "plot_sample_qc",
    "plot_umap",
    "plot_volcano",
]
