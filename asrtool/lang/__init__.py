"""Layer 3: phones, lexicon, lang directories."""
