"""Errors for wrong arguments, with the line to write instead."""
