"""Layer 1: acoustic features."""
