"""Parts of the report of one person: clinic, nerves, proteins, prediction, pictures."""
