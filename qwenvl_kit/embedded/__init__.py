"""The small model that ships with the package; CARD.md describes its abilities and limits."""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""A checkpoint in transformers' own format."""

GOLDEN_FILE = Path(__file__).parent / "golden.json"
"""Questions with the expected answers as tokens, written by examples/embedded_model/golden.py."""
