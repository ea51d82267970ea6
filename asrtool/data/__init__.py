"""Layer 1: data directories."""
