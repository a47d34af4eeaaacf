"""The next step of somebody who works at a screen, as a typed action."""
