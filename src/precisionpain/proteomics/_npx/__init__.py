"""How Olink's exports are read: text, Parquet and Excel become one long table, then a matrix."""
