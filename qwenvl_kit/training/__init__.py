"""Training: from a file of examples to an adapter that serves as it was trained.

    from qwenvl_kit.training import check_examples, fine_tune, read_examples

    examples = read_examples("train.jsonl")
    print(check_examples("Qwen/Qwen2-VL-2B-Instruct", examples, budget="standard"))
    run = fine_tune("Qwen/Qwen2-VL-2B-Instruct", examples, "out", budget="standard")
    print(run.losses)

The prompt of each answer is the one that `chat.ask` would send for it: the same tokens, positions
and pixels.
"""

from qwenvl_kit.training.checking import check_examples, show_example
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.places import LabelPart, PlacePart
from qwenvl_kit.training.examples.reading import Examples, read_examples
from qwenvl_kit.training.examples.replies import examples_from_replies
from qwenvl_kit.training.loop.fine_tuning import fine_tune
from qwenvl_kit.training.loop.method import FullTraining, LoRA
from qwenvl_kit.training.reports import ExamplesReport, Fault, Quantiles, Repeat
from qwenvl_kit.training.sequences.marked_text import MarkedSequence

__all__ = [
    "Example",
    "Examples",
    "ExamplesReport",
    "Fault",
    "FullTraining",
    "LabelPart",
    "LoRA",
    "MarkedSequence",
    "PlacePart",
    "Quantiles",
    "Repeat",
    "check_examples",
    "examples_from_replies",
    "fine_tune",
    "read_examples",
    "show_example",
]
