"""Layer 7: the training loop."""
