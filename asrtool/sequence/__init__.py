"""Layer 6, above criterion: the speech module of sequence training, from utterances to outer gradients."""
