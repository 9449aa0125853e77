"""Parts of the classifier of scans: its inputs, its training, its settings."""
