"""How many bridge samples the vendor asks for, by product and between products.

Olink's tutorials "Introduction to bridging" (table 1) and "Bridging across NGS-based products"
(OlinkAnalyzeVignettes 1.0.1, 2026). Products that the tables don't list get what is recommended
in general.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._layout import about
from .usable import panels_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["bridges_between", "bridges_within"]

Range = tuple[int, int]
_IN_GENERAL = (8, 16)
_WITHIN = {
    "Target 96": (8, 16),
    "Explore 384": (8, 16),
    "Explore 3072": (16, 24),
    "Explore HT": (16, 32),
    "Reveal": (16, 24),
}
# Cardiometabolic II, Inflammation II, Neurology II, Oncology II.
_SECOND_384 = (16, 24)
# By (new product, reference product).
_BETWEEN = {
    ("Explore 3072", "Explore HT"): (40, 64),
    ("Explore 3072", "Reveal"): (32, 48),
    ("Explore HT", "Reveal"): (24, 40),
    ("Reveal", "Explore HT"): (24, 40),
}
_BETWEEN_ANY = (24, 40)


def bridges_within(adata: AnnData) -> tuple[Range, str]:
    """Return the fewest and the most bridge samples asked for, and what they are asked for.

    Parameters
    ----------
    adata : anndata.AnnData
        Of one product, ``uns["precisionpain"]["product"]``.

    Returns
    -------
    tuple of (tuple of int, str)
    """
    product = str(about(adata).get("product", ""))
    if product not in _WITHIN:
        return _IN_GENERAL, "in general"
    panels = [str(panel).replace("_", " ").strip() for panel in panels_of(adata)]
    second = [panel for panel in panels if panel.endswith(" II")]
    if product == "Explore 384" and second:
        return _SECOND_384, f"for Explore 384 {second[0]}"
    return _WITHIN[product], f"for {product}"


def bridges_between(new: AnnData, reference: AnnData) -> Range:
    """Return the fewest and the most bridge samples asked for between two products."""
    products = (str(about(new).get("product")), str(about(reference).get("product")))
    return _BETWEEN.get(products, _BETWEEN_ANY)
