"""Layer 2: phonetic decision trees."""
