"""Structured output: constraints on answers, their schemas, and the values read from them."""
