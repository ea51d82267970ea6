"""Layer 7: figures, tables and results for machines."""
