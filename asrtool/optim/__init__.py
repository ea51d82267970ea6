"""Layer 4: learning-rate schedules."""
