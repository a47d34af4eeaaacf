"""The first program that anyone runs is right in each of its answers, in both languages."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "examples" / "pictures" / "shapes.png"
ENGLISH = (
    "'A red circle left of a blue square.'",
    "red circle: from",
    "blue square: from",
    "'The yellow circle became a square.'",
    "'62.50'",
    "'2024-03-18'",
    "'4.20'",
    "Receipt(total=62.5, tax=4.2, date='2024-03-18')",
    "Fromage -> Cheese",
    "Poulet -> Chicken",
    "Pomme -> Apple",
    "Fromage 6.50 / Poulet 12.80 / Pomme 3.00\n",
)
CHINESE = (
    "'一个红色的圆在一个蓝色的正方形的左边。'",
    "红色的圆: from",
    "蓝色的正方形: from",
    "'黄色的圆变成了正方形。'",
    *ENGLISH[4:8],
    "Fromage -> 奶酪",
    "Poulet -> 鸡肉",
    "Pomme -> 苹果",
    ENGLISH[-1],
)


@pytest.fixture(scope="module")
def quickstart() -> ModuleType:
    path = ROOT / "examples" / "quickstart.py"
    spec = importlib.util.spec_from_file_location("quickstart", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["quickstart"] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["ENGLISH", "CHINESE"])
def test_every_answer_of_the_quickstart_is_right_and_none_is_doubted(
    quickstart: ModuleType, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    quickstart.main(SHAPES, getattr(quickstart, language))
    printed = capsys.readouterr().out
    at = 0
    for answer in ENGLISH if language == "ENGLISH" else CHINESE:
        found = printed.find(answer, at)
        assert found >= 0, f"{answer} does not come next in:\n{printed[at:]}"
        at = found + len(answer)
    assert printed.count(": from") == 2
    confidences = [float(each) for each in re.findall(r"confidence (\d\.\d\d)", printed)]
    assert len(confidences) == 9
    assert min(confidences) >= 0.5
