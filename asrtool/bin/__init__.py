"""Layer 8: one file a command."""
