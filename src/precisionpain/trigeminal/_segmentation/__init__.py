"""Parts of the segmenter."""
