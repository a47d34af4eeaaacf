"""Chinese: names, sentences and wordings."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..drawing.motion import Motion
from ..drawing.pairs import Change
from ..drawing.scenes import Relation
from . import wordings_zh as wordings
from .tongue import Tongue, Wordings
from .wordings import HINTS, YES_OR_NO

COLOURS = {
    "red": "红色", "blue": "蓝色", "green": "绿色", "yellow": "黄色", "orange": "橙色",
    "purple": "紫色",
    "black": "黑色", "pink": "粉色",
}  # fmt: skip
SHAPES = {
    "circle": "圆", "square": "正方形", "triangle": "三角形", "star": "星形", "diamond": "菱形",
    "cross": "十字形",
}  # fmt: skip
DOCUMENTS = {
    "invoice": "发票", "receipt": "收据", "order": "订单", "ticket": "票", "bill": "账单",
    "menu": "菜单",
    "document": "文件",
}  # fmt: skip
ROLES = {
    "total": "总计", "tax": "税额", "date": "日期", "quantity": "数量", "number": "编号",
    "name": "姓名",
}  # fmt: skip
SIDES: dict[Relation, str] = {
    "left of": "左边", "right of": "右边", "above": "上面", "below": "下面",
}  # fmt: skip
DIRECTIONS = {"right": "右", "left": "左", "up": "上", "down": "下"}
NUMBERS = ("没有", "一", "两", "三", "四", "五")


class _Chinese(Tongue):
    def vary(self, rng: random.Random, question: str) -> str:
        """Sometimes without its last mark, or with that of English."""
        if rng.random() < 0.1:
            return question.rstrip("？。")
        if question.endswith("？") and rng.random() < 0.05:
            return question[:-1] + "?"
        return question

    def colour(self, colour: str) -> str:
        return COLOURS[colour]

    def shape(self, kind: str) -> str:
        return SHAPES[kind]

    def several(self, kind: str) -> str:
        return SHAPES[kind]

    def pair(self, colour: str, kind: str) -> str:
        return f"{COLOURS[colour]}的{SHAPES[kind]}"

    def known(self, name: str) -> str:
        return name

    def one(self, name: str) -> str:
        return f"一个{name}"

    def sentence(self, text: str) -> str:
        return f"{text}。"

    def listed(self, names: Sequence[str]) -> str:
        several = [self.one(name) for name in names]
        if len(several) == 1:
            return self.sentence(several[0])
        return self.sentence(f"{'、'.join(several[:-1])}和{several[-1]}")

    def side(self, where: Relation) -> str:
        return SIDES[where]

    def stands(self, where: Relation) -> str:
        return f"在{SIDES[where]}。"

    def two(self, first: str, where: Relation, second: str) -> str:
        return f"{self.one(first)}在{self.one(second)}的{SIDES[where]}。"

    def changed(self, change: Change) -> str:
        if change.what == "same":
            return "没有变化。"
        name = self.pair(change.colour, change.kind)
        if change.what == "colour":
            old, new = COLOURS[change.colour], COLOURS[change.became]
            return f"{SHAPES[change.kind]}从{old}变成了{new}。"
        if change.what == "shape":
            return f"{name}变成了{SHAPES[change.became]}。"
        return f"{name}消失了。" if change.what == "gone" else f"多了一个{name}。"

    def moves(self, motion: Motion) -> str:
        does = {
            "still": "没有移动",
            "grow": "变大了",
            "shrink": "变小了",
            "appear": "出现了",
            "disappear": "消失了",
        }
        what = does.get(motion.what) or f"向{DIRECTIONS[motion.what]}移动"
        return f"{self.named(motion.shape)}{what}。"

    def towards(self, direction: str) -> str:
        return f"向{DIRECTIONS[direction]}。"

    def when(self, seconds: int) -> str:
        return f"第{seconds}秒。"

    def document(self, kind: str) -> str:
        return DOCUMENTS[kind]

    def is_document(self, kind: str | None) -> str:
        if kind == "print":
            return "印刷的文字。"
        measure = "份" if kind in (None, "menu", "order") else "张"
        return f"一{measure}{DOCUMENTS[kind or 'document']}。"

    def role(self, role: str) -> str:
        return ROLES[role]

    def there_are(self, count: int, kind: str | None) -> str:
        name = SHAPES[kind] if kind else "图形"
        return f"图中没有{name}。" if count == 0 else f"图中有{NUMBERS[count]}个{name}。"

    def there_is(self, name: str) -> str:
        return f"图中有一个{name}。"

    def this_is(self, kind: str) -> str:
        return f"这是一张{kind}。"

    def field_is(self, role: str, value: str) -> str:
        return f"{role}是{value}。"

    def all_of(self, rng: random.Random, colour: str | None, kind: str | None) -> str:
        if kind:
            return rng.choice([f"所有的{SHAPES[kind]}", f"每个{SHAPES[kind]}"])
        if colour:
            return f"所有{COLOURS[colour]}的图形"
        return rng.choice(["所有图形", "每个图形"])

    def word(self, rng: random.Random, text: str) -> str:
        return rng.choice(["“{}”", "“{}”", "文字“{}”", '"{}"']).format(text)

    def both(self, first: str, second: str) -> str:
        return f"{first}和{second}"


def chinese(chosen: Wordings = wordings.WORDINGS) -> Tongue:
    """Chinese with some wordings."""
    number = "\nAnswer with a number."
    hints = {
        task: wordings.YES_OR_NO if hint == YES_OR_NO else wordings.A_NUMBER
        for task, hint in HINTS.items()
        if hint in (YES_OR_NO, number)
    }
    return _Chinese(
        code="zh",
        wordings=chosen,
        hints=hints,
        document_only=wordings.DOCUMENT_ONLY,
        yes="是。",
        no="否。",
        nothing="没有。",
        unknown="我看不出来。",
        choose=wordings.CHOOSE,
        between="、",
        stop="。",
    )
