"""Sequences: an example as tokens, labels, positions and pixels, as `chat.ask` would send it."""
