"""Boxes in the space in front of the camera: their corners, the camera, and their picture."""
