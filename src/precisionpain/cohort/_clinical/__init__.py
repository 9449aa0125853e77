"""Clinical tables: from a file to typed columns, with line numbers kept."""
