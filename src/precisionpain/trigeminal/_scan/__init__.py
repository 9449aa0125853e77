"""One scan on disk, segmented and measured: parts of the command ``segment``."""
