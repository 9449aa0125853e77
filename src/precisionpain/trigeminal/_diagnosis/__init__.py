"""Parts of the diagnosis: what is known, what measures say, and the rules."""
