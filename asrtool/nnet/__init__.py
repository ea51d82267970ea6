"""Layer 3: acoustic models, their input windows, log priors, model files, forward pass."""
