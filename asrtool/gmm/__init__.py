"""Layer 3: Gaussian mixture models."""
