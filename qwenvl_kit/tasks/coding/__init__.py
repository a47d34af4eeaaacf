"""Code for a picture: asked for, found in the answer, checked for its form, drawn and compared."""
