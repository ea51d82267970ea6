"""Layer 6: training criteria."""
