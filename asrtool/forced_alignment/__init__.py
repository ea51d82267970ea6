"""Forced alignment for its own sake: recordings and their texts in, the times of words and phones out."""
