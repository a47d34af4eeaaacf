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
from qwenvl_kit.evaluation.benchmarks.chartqa import ChartQA
from qwenvl_kit.evaluation.benchmarks.docvqa import DocVQA
from qwenvl_kit.evaluation.benchmarks.egoschema import EgoSchema
from qwenvl_kit.evaluation.benchmarks.hallusionbench import HallusionBench
from qwenvl_kit.evaluation.benchmarks.mathvista import MathVista
from qwenvl_kit.evaluation.benchmarks.mmbench import MMBench
from qwenvl_kit.evaluation.benchmarks.mmmu import MMMU
from qwenvl_kit.evaluation.benchmarks.mtvqa import MTVQA
from qwenvl_kit.evaluation.benchmarks.mvbench import MVBench
from qwenvl_kit.evaluation.benchmarks.ocrbench import OCRBench
from qwenvl_kit.evaluation.benchmarks.perceptiontest import PerceptionTest
from qwenvl_kit.evaluation.benchmarks.realworldqa import RealWorldQA
from qwenvl_kit.evaluation.benchmarks.refcoco import RefCOCO
from qwenvl_kit.evaluation.benchmarks.textvqa import TextVQA
from qwenvl_kit.evaluation.benchmarks.videomme import VideoMME
from qwenvl_kit.evaluation.comparing import RunComparison, compare_runs
from qwenvl_kit.evaluation.description_scores import DescriptionScores, judge_descriptions
from qwenvl_kit.evaluation.evaluating import evaluate, score_answers
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.result import EvaluationResult, load_result
from qwenvl_kit.evaluation.statistics.estimates import Estimate
from qwenvl_kit.evaluation.statistics.sample_size import items_needed
from qwenvl_kit.evaluation.sweeping import SweepResult, sweep

__all__ = [
    "MMMU",
    "MTVQA",
    "Benchmark",
    "ChartQA",
    "DescriptionScores",
    "DocVQA",
    "EgoSchema",
    "Estimate",
    "EvaluationItem",
    "EvaluationRecord",
    "EvaluationResult",
    "HallusionBench",
    "ItemScore",
    "MMBench",
    "MVBench",
    "MathVista",
    "Metric",
    "OCRBench",
    "PerceptionTest",
    "RealWorldQA",
    "RefCOCO",
    "RunComparison",
    "ScoredItem",
    "SweepResult",
    "TextVQA",
    "VideoMME",
    "compare_runs",
    "evaluate",
    "items_needed",
    "judge_descriptions",
    "load_result",
    "score_answers",
    "sweep",
]
