"""The KV cache of the model, the prefix cache of earlier prompts, and the store of what is kept."""
