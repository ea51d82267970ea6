"""asrtool: a Kaldi-style recipe toolkit for hybrid HMM/neural-network speech recognition."""

__version__ = "0.1.0"
