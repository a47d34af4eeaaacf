"""The outcome of a training: what is written beside its weights, and a whole model of them."""
