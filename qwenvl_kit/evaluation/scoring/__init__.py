"""Scoring: the published rules as pure functions, a file for each subject.

A rule takes the text of an answer and the right answers, and returns a value in [0, 1]. It guesses
nothing: a letter, a number, a yes or a box that cannot be read is None. Where a published rule is
known to be odd, its value is kept, and a strict one stands beside it.
"""
