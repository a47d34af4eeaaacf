"""Summaries of videos of any length: an answer about each window, merged into one answer."""
