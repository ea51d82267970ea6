"""Ranks over plain TCP: parameter servers in the workers, collectives that go on without a lost rank, signs of life."""
