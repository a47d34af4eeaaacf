"""Computer use: the next mouse or keyboard action on a screen, on the way to a goal."""
