"""Recognition: everything of a kind in a picture, with its place, its names and its attributes."""
