"""Layer 4: parallel training algorithms behind one protocol."""
