"""Training data: examples of many forms, and a report of them before anything is trained.

    from qwenvl_kit.training import check_examples, read_examples

    examples = read_examples("train.jsonl")
    report = check_examples("Qwen/Qwen2-VL-2B-Instruct", examples, budget="standard")
    print(report)

The prompt of each answer is the one that `chat.ask` would send for it: the same tokens, positions
and pixels.
"""

from qwenvl_kit.training.checking import check_examples, show_example
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.places import LabelPart, PlacePart
from qwenvl_kit.training.examples.reading import Examples, read_examples
from qwenvl_kit.training.examples.replies import examples_from_replies
from qwenvl_kit.training.outcome.card import AdapterRecord, Evaluation, adapter_card
from qwenvl_kit.training.outcome.export import export_merged
from qwenvl_kit.training.reports import ExamplesReport, Fault, Quantiles, Repeat
from qwenvl_kit.training.sequences.marked_text import MarkedSequence

__all__ = [
    "AdapterRecord",
    "Evaluation",
    "Example",
    "Examples",
    "ExamplesReport",
    "Fault",
    "LabelPart",
    "MarkedSequence",
    "PlacePart",
    "Quantiles",
    "Repeat",
    "adapter_card",
    "check_examples",
    "examples_from_replies",
    "export_merged",
    "read_examples",
    "show_example",
]
