"""Layer 4: training data: utterance tables, splits over workers, shards in memory, streams, whole utterances, shuffled frames."""
