"""Evaluation: the published benchmarks, scored as published, and your own.

    from qwenvl_kit import VisionChat
    from qwenvl_kit.evaluation import DocVQA, compare_runs, evaluate

    chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct")
    result = evaluate(chat, DocVQA("DocVQA_VAL.tsv"), journal="run.jsonl", limit=200)
    print(result.score, result.interval, result.num_unread, result.num_failed)

An answer that cannot be read is wrong, counted and shown: nothing is guessed. Each score has an
interval, and each run can be repeated from its record.
"""

from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.evaluating import evaluate, score_answers
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.evaluation.statistics.estimates import Estimate
from qwenvl_kit.evaluation.statistics.sample_size import items_needed
