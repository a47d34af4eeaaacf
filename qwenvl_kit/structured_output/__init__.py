"""Answers as typed values: what may stand in them, how they are asked for, and what they say."""
