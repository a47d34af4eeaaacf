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
from qwenvl_kit.training.outcome.card import AdapterRecord, Evaluation, adapter_card
from qwenvl_kit.training.outcome.comparing import compare_before_and_after
from qwenvl_kit.training.outcome.export import export_merged
from qwenvl_kit.training.outcome.losses import Losses, StepLoss, ValidationLoss
from qwenvl_kit.training.outcome.record import RunData, RunRecord, RunSettings
from qwenvl_kit.training.outcome.report import ComparedExample, TrainingReport
from qwenvl_kit.training.outcome.run import TrainingRun, load_run
from qwenvl_kit.training.reports import ExamplesReport, Fault, Quantiles, Repeat
from qwenvl_kit.training.sequences.marked_text import MarkedSequence

__all__ = [
    "AdapterRecord",
    "ComparedExample",
    "Evaluation",
    "Example",
    "Examples",
    "ExamplesReport",
    "Fault",
    "FullTraining",
    "LabelPart",
    "LoRA",
    "Losses",
    "MarkedSequence",
    "PlacePart",
    "Quantiles",
    "Repeat",
    "RunData",
    "RunRecord",
    "RunSettings",
    "StepLoss",
    "TrainingReport",
    "TrainingRun",
    "ValidationLoss",
    "adapter_card",
    "check_examples",
    "compare_before_and_after",
    "examples_from_replies",
    "export_merged",
    "fine_tune",
    "load_run",
    "read_examples",
    "show_example",
]
