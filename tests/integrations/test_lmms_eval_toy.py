"""lmms-eval itself runs the kit on a task of four pictures (`nox -s lmms`)."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import pytest

from tests.integrations.lmms_stand_in import IS_INSTALLED

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="lmms-eval is not installed")

COLOURS = ("red", "green", "blue", "black")

TASK = """
task: toy_colours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: {output_type}
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: answer
doc_to_choice: !function utils.choices
{settings}
process_results: !function utils.{score}
metric_list:
  - metric: exact
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 0.0
"""

GENERATION = """generation_kwargs:
  max_new_tokens: 8
  temperature: 0
  do_sample: false
"""

UTILS = """
from PIL import Image

ANSWERS = ["Red.", "Green.", "Blue.", "Black."]


def visual(doc):
    return [Image.open(doc["image_path"]).convert("RGB")]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def choices(doc):
    return ANSWERS


def generated(doc, results):
    return {"exact": float(doc["answer"] in results[0].lower())}


def chosen(doc, results):
    losses = [loss for loss, _ in results]
    return {"exact": float(doc["answer"] in ANSWERS[losses.index(min(losses))].lower())}
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder of a task, with four pictures of a circle."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = []
    for colour in COLOURS:
        image = PIL.Image.new("RGB", (56, 56), "white")
        PIL.ImageDraw.Draw(image).ellipse((8, 8, 48, 48), fill=colour)
        image.save(tmp_path / f"{colour}.png")
        rows.append(
            {
                "image_path": str(tmp_path / f"{colour}.png"),
                "question": "What colour is the circle?",
                "answer": colour,
            }
        )
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "utils.py").write_text(UTILS)
    return folder


def _run(tasks: Path, kind: str, **task: str) -> dict[str, Any]:
    from lmms_eval import evaluator
    from lmms_eval.tasks import TaskManager

    from qwenvl_kit.integrations import lmms_eval as kit

    text = TASK.format(data=tasks.parent / "test.jsonl", **task)
    (tasks / "toy_colours.yaml").write_text(text)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    model = getattr(kit, kind)()
    found = evaluator.simple_evaluate(
        model=model, tasks=["toy_colours"], task_manager=manager, batch_size=1, bootstrap_iters=10
    )
    scores: dict[str, Any] = found["results"]["toy_colours"]
    return scores


@pytest.mark.parametrize("kind", ["ChatModel", "SimpleModel"])
def test_a_task_that_generates_is_answered(tasks: Path, kind: str) -> None:
    task = {"output_type": "generate_until", "settings": GENERATION, "score": "generated"}
    assert _run(tasks, kind, **task)["exact,none"] == 1.0


def test_a_task_that_chooses_is_answered(tasks: Path) -> None:
    task = {"output_type": "multiple_choice", "settings": "", "score": "chosen"}
    assert _run(tasks, "SimpleModel", **task)["exact,none"] == 1.0


def test_lmms_eval_finds_the_kit_by_its_entry_point() -> None:
    from lmms_eval.models.registry_v2 import ModelRegistryV2

    assert "qwenvl_kit" in {each.name for each in entry_points(group="lmms_eval.models")}
    registry = ModelRegistryV2()
    registry.load_entrypoint_manifests()
    assert registry.get_model_class("qwenvl_kit").__name__ == "ChatModel"
    assert registry.get_model_class("qwenvl_kit", force_simple=True).__name__ == "SimpleModel"
