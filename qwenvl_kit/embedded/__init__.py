"""The small model that is part of the package; its card is `CARD.md` in this folder."""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""A checkpoint of the Qwen2-VL architecture for drawn shapes, print and motion; not for photos."""
