"""Layer 1: the only package that touches OpenFst; binary FSTs to and from numpy arrays."""
