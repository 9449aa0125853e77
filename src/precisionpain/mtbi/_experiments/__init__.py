"""Parts of the study as one call: its rows, its models, what is kept, and its figures."""
