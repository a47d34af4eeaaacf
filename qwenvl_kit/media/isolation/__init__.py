"""Decoding in processes of its own: what a hostile file can break is not the user's program."""
