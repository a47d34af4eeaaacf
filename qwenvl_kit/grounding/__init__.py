"""Grounding: boxes and points, from the text of a model to the pixels of the user's picture."""
