"""Questions about the rows of a Ray data set, and trainings, on the machines of a cluster of Ray.

It needs `pip install 'qwenvl-kit[ray]'`.

    import ray
    from qwenvl_kit import VisionChat
    from qwenvl_kit.distributed import ask_dataset

    rows = ray.data.read_parquet("photos/")  # columns id and image
    ask_dataset(
        rows,
        lambda: VisionChat.from_pretrained("Qwen/Qwen3-VL-8B-Instruct"),
        question="What is this?",
        output="answers/",
        num_actors=8,
        num_gpus=1,
    )

Each actor holds one chat, with any backend, and gives it one batch of rows at a time. The chat runs
as many of them together as its memory allows. A row that fails has its error in its columns.

`fine_tune_on_ray` trains as `qwenvl_kit.training.fine_tune` does, on several workers.
`evaluate_on_ray` evaluates as `qwenvl_kit.evaluation.evaluate` does, on several actors.
"""

from qwenvl_kit.distributed.columns import COLUMNS
from qwenvl_kit.distributed.datasets import ask_dataset
from qwenvl_kit.distributed.evaluation import evaluate_on_ray
from qwenvl_kit.distributed.training import fine_tune_on_ray

__all__ = ["COLUMNS", "ask_dataset", "evaluate_on_ray", "fine_tune_on_ray"]
