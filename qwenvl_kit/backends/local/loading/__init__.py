"""Loading: from a checkpoint to a model in memory."""
