"""Draws pictures, trains the tiny Qwen2-VL that ships in the package, and measures it."""
