"""Parts of `precisionpain.trigeminal.diffusion`."""
