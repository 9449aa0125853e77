"""Parts of the search for subtypes."""
