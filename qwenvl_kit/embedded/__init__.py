"""The small model that ships with the package; CARD.md tells what it can do and how well."""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""A checkpoint in transformers' own format."""

GOLDEN_FILE = Path(__file__).parent / "golden.json"
"""Questions with the tokens that it answers, written by examples/embedded_model/golden.py."""
