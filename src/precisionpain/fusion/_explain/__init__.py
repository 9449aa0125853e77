"""What lies behind an explanation of a fusion."""
