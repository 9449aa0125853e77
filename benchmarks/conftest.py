"""Ratios and memory, measured in one run; never a timed test of the suite."""
