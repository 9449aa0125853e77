"""Pieces of the normalisations: which values may be learned from, medians, and joining projects."""
