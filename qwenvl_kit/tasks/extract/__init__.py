"""Extraction: typed values that are read from pictures, with their evidence if it is asked for."""

from qwenvl_kit.tasks.extract.evidence import Evidence, EvidencedExtraction
from qwenvl_kit.tasks.extract.extracting import extract
from qwenvl_kit.tasks.extract.extraction import Extraction
from qwenvl_kit.tasks.extract.form import PROMPTS
from qwenvl_kit.tasks.extract.growing import stream_extract

__all__ = [
    "PROMPTS",
    "Evidence",
    "EvidencedExtraction",
    "Extraction",
    "extract",
    "stream_extract",
]
