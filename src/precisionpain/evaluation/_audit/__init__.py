"""What published figures imply: rounding, confusion matrices, folds, chance, groups."""
