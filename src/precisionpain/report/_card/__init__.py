"""Parts of the model card: what is known of data, model and results, in words and pictures."""
