"""The public trigeminal neuralgia cohort: registry, mirror, cleaning."""
