"""The parts of `precisionpain.proteomics.quality`."""
