"""BIDS trees: names, sidecars, sessions and participants."""
