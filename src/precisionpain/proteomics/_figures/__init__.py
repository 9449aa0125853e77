"""Behind the figures of proteins: input checks, the common look, and one module per question."""
