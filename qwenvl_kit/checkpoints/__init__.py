"""Checkpoints before they are loaded: their location, their files, and the size of their weights.

Nothing here imports torch or transformers.
"""
