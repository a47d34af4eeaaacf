"""Tools that show a model parts of its pictures: it zooms and rotates while it thinks."""
