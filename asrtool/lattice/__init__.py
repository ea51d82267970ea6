"""Layer 3: lattices as arrays."""
