"""Training data: examples of many forms, and a report of them before anything is trained.

    from qwenvl_kit.training import check_examples, read_examples

    examples = read_examples("train.jsonl")
    report = check_examples("Qwen/Qwen2-VL-2B-Instruct", examples, budget="standard")
    print(report)

The prompt of each answer is the one that `chat.ask` would send for it: the same tokens, positions
and pixels.
"""

from qwenvl_kit.training.example import Example
from qwenvl_kit.training.places import LabelPart, PlacePart
from qwenvl_kit.training.reading import Examples, read_examples

__all__ = [
    "Example",
    "Examples",
    "LabelPart",
    "PlacePart",
    "read_examples",
]
