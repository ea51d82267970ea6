"""Layer 4: utterances to minibatches."""
