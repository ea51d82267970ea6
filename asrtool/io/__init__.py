"""Layer 0: Kaldi tables and objects, audio, settings, atomic files, progress."""
