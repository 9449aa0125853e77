"""Networks that join blocks: what they share, and each network beside its estimator."""
