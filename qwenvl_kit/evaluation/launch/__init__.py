"""Evaluations from the command line."""
