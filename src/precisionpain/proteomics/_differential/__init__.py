"""The parts of `differential`: the design, the contrast, and one module per family of tests."""
