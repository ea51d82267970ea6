"""Layer 5: beam search and alignment."""
