"""Layer 3: acoustic models."""
