"""Questions about what was drawn, in many wordings, and their answers."""
