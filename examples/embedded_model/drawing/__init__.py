"""Everything that is drawn: scenes of shapes, motion, print, photo-like noise."""
