"""Layer 4: decoding and training graphs."""
