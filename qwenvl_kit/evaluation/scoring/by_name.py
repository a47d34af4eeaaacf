"""Rules of scoring by their names."""
