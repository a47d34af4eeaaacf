"""Checkpoints before they are loaded: where they are, what their files say, what they weigh.

Nothing here imports torch or transformers.
"""
