"""Examples in, an adapter out: configuration, data, training, evaluation, merging."""
