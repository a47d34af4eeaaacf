"""A checkpoint's own processor: prompts, patches, positions, limits. It needs transformers.

Nothing here imports a backend, so that training and evaluation can use it alone.
"""
