"""Isolation: decoding in child processes, so that a hostile file cannot harm the user's program."""
