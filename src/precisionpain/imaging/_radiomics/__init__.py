"""Private parts of `precisionpain.imaging.radiomics`."""
