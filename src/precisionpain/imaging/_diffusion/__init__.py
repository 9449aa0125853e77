"""Parts of `precisionpain.imaging.diffusion`."""
