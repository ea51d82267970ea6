"""Layer 5: error rates."""
