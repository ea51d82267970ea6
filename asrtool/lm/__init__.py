"""Layer 2: n-gram language models."""
