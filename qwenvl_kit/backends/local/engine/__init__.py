"""The engine: a scheduler in one thread, its request queue, prefill, decode batch and sampler."""
