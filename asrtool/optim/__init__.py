"""Layer 4: optimisers and learning-rate schedules."""
