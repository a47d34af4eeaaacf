"""Chat templates: what they are given, and how they are rendered within bounds. Needs no torch."""
