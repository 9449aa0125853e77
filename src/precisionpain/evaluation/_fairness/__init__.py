"""What lies behind the table of subgroups."""
