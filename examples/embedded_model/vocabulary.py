"""The words of the tokenizer: `vocabulary.txt`, one a line, to which new ones are only appended.

    python -m examples.embedded_model.vocabulary            # what would be new
    python -m examples.embedded_model.vocabulary --append   # append it
    python -m examples.embedded_model.vocabulary --also FILE # with the words of another text
    python -m examples.embedded_model.vocabulary --package   # with those of all tasks' prompts

Weights belong to rows of the embedding, so that a run which has begun goes on only with the same
words in the same places. New ones take rows that are spare.
"""

from __future__ import annotations

import argparse
import itertools
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from qwenvl_kit.structured_output import schema_prompt

from .drawing.documents import CHINESE_KINDS, CHINESE_LABELS, KINDS, LABELS, foods, words
from .drawing.palette import COLOUR_NAMES, SHAPES
from .drawing.typeset import CHINESE_MARKS
from .questions import chinese, pages, places, structures, tools, wordings, wordings_zh
from .questions.english import CHOOSE, NUMBERS, capitalised, english
from .tokenizer import FILE, known, split

PROMPTS = Path(__file__).parents[2] / "docs" / "cookbook" / "prompts.zh.md"
"""Every prompt of the package's tasks and notebooks, in both languages; a test keeps it true."""
ANSWERS = (
    "Nothing. Yes. No. Left of it. Right of it. Above it. Below it. Nothing changed.",
    "A red circle left of a blue square and right of an orange star, above, below.",
    "The circle changed from red to blue. The star became a cross. It is gone. It was added.",
    "The circle moves right. It does not move. It gets bigger. It gets smaller.",
    "Right. Left. Up. Down. moves left up down An An invoice. A document. A menu. Printed text.",
    "user assistant system Picture Video Total Tax Date Qty Quantity No Number Name",
    "There is a red circle. There are two circles. The total is. This is an invoice. and all every",
    "true false null source target name price the word text The red circle, the blue square.",
    "I cannot tell. inside outside around larger smaller same colour shape It is not there.",
    "First it moves right, then it moves up. At second. It stops. It appears. It disappears. turns",
)
CHINESE_ANSWERS = (
    "没有。是。否。在左边。在右边。在上面。在下面。没有变化。一个红色的圆在一个蓝色的正方形的左边。",
    "圆从红色变成了蓝色。星形变成了十字形。消失了。多了一个。没有移动。变大了。变小了。向左移动。向右。向上。向下。",
    "一份文件。一张收据。印刷的文字。我看不出来。无法判断。看不清。里面外面更大更小颜色形状相同。",
    "然后先后第一第二第三第四第五秒时出现停止转。点击按钮打开关闭设置搜索返回确定取消保存删除发送登录输入完成",
    "零〇一二三四五六七八九十百千万两个张份只条辆本块头位名杯瓶",
)
TOOLS = (
    "image_zoom_in_tool zoom in on a specific region of an image by cropping it based on a "
    "bounding box bbox and an optional object label img_idx the index of the zoomed-in image "
    "starting from the bounding box of the region to zoom in as x1 y1 x2 y2 where is the top-left "
    "corner and the bottom-right corner the name or label of the object in the specified bounding "
    "box bbox_2d point_2d label coordinate action left_click type key scroll wait terminate answer "
    "status success failure computer_use function arguments tool_call tool_response get_weather "
    "city Click on the button. Open the settings. Close the window. Press Search. Type hello. Go "
    "back. Settings Search Save Cancel OK Delete Send Back Next Login Home Help File Edit View "
    "Close",
    "qwenvl markdown qwenvl html Table Image Figure header footer caption text title list chart "
    "with places points Locate with their colour type kind content text_content size every element "
    "Spot all the text in the image with line-level, and output in JSON format. Sub-title small "
    "medium large seconds frame frames timestamp start end event time",
)
PIECES = (
    '{"', ' {"', '":', ' "', '",', '"}', '"},', '"}]', '"}]}', '[{"', ' [{"', "},", "}]", "}]}",
    " [", '["',
    ' ["', '"]', '"],', '"]}', '".', ' {}', "]}", "],", " [[", "]]", "]}]", '}}\n', '}\n', "?\n",
    ".\n", ":\n", ",\n", "!\n",
    "\n\n", ".\n\n", " |", "|\n", " |\n", " ---", "|---", "|---|", "|---|\n", "|---|---|\n",
    "|---|---|---|\n",
    "|---|---|---|---|\n", "| ---", "#", "##", "###", " -", " --", "-->", " -->", "-->\n",
    " -->\n", "<!--", "**", "</", "><",
    ">\n", "</tool", "_call", "_response", ' "/', " (", "):", ").", "):\n", " +", " =", " &",
    " \\\\\n", "\\begin", "{tabular",
    "}{|", "|}\n", "}\n\n", "\\hline", "\\end", "\\n", "€", "$", "￥", "¥", "```", "\n- ", "\n  ",
    "://", "...", "_2", "_idx",
    "…", "—", "《", "》", "、", "；", "·", "【", "】", "‘", "’", "，", "“", "”",
)  # fmt: skip
NAME = re.compile(r"`([^`]+)`")
LETTERS = set(string.ascii_letters)


def package_texts() -> list[str]:
    """Every prompt of the package's tasks: more than the training asks, and growing."""
    told = PROMPTS.read_text(encoding="utf-8")
    return [text.replace("\\n", "\n") for text in NAME.findall(told)]


def task_texts() -> list[str]:
    """What those tasks send that the training knows: tools, forms, descriptions of fields."""
    shown = [str(each) for each in schema_prompt.WORDINGS.values()]
    forms: list[Mapping[str, str]] = [
        pages.MARKDOWN,
        pages.TABLE,
        pages.TITLE,
        places.ATTRIBUTES,
        places.POINTS,
    ]
    asked = [text for form in forms for text in form.values()]
    offered = [tools.offered(""), *tools.FUNCTIONS.values(), *tools.every_text()]
    return [*shown, *asked, *(text.replace("\\n", " ") for text in offered)]


def texts() -> list[str]:
    """Every wording with every name once, in a fixed order."""
    words_of = english()
    asked = [
        re.sub(r"\{\w+\}", "", text)
        for said in (wordings.WORDINGS, wordings.HELD_OUT)
        for text in itertools.chain(*said.values())
    ]
    names = [*COLOUR_NAMES, *SHAPES, *KINDS, *(words_of.several(kind) for kind in SHAPES)]
    found = [*asked, wordings.DOCUMENT_ONLY, wordings.YES_OR_NO, wordings.A_NUMBER]
    found += [*wordings.SYSTEM, *ANSWERS, structures.INSTRUCTION, structures.PAIRS, CHOOSE]
    found += [f" {text}" for text in itertools.chain(NUMBERS, names)]
    found += [*itertools.chain(*structures.NAMES.values()), *names]
    found += [f" {text}" for text in itertools.chain(*structures.NAMES.values())]
    found += [text[0].lower() + text[1:] for text in asked if text]
    found += [capitalised(name) for name in COLOUR_NAMES]
    for food in foods():
        found += [f" {food['english']}", capitalised(food["english"])]
    found += task_texts()
    for text in TOOLS:
        found += [text, " ".join(word.strip(".,") for word in text.split())]
    return found


def chinese_texts() -> list[str]:
    """The same in Chinese, and what is printed."""
    asked = [*wordings_zh.WORDINGS.values(), *wordings_zh.HELD_OUT.values(), wordings_zh.SYSTEM]
    found = [*itertools.chain(*asked), *chinese.COLOURS.values(), *chinese.SHAPES.values()]
    found += [*chinese.DOCUMENTS.values(), *chinese.ROLES.values(), *chinese.SIDES.values()]
    found += [wordings_zh.YES_OR_NO, wordings_zh.A_NUMBER, wordings_zh.DOCUMENT_ONLY]
    found += [wordings_zh.CHOOSE, wordings_zh.EXTRACT, wordings_zh.PAIRS, *CHINESE_ANSWERS]
    found += [*words("chinese.txt"), *words("chinese_names.txt"), CHINESE_MARKS]
    found += [food["chinese"] for food in foods()]
    found += [*itertools.chain(*CHINESE_KINDS.values(), *CHINESE_LABELS.values())]
    return found + task_texts()


def _is_word(piece: str) -> bool:
    return bool(LETTERS.intersection(piece)) and piece.isascii() and len(piece) > 1


def needed() -> Iterator[str]:
    """Words, Chinese characters and pieces that should be one token each, in a fixed order."""
    splitter = split()
    labels = [label for labels in LABELS.values() for label in labels]
    for text in [*texts(), *labels, *(f" {label}" for label in labels)]:
        for piece, _ in splitter.pre_tokenize_str(text):
            if _is_word(piece):
                yield piece
    for text in chinese_texts():
        yield from (c for c in text if "\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef")
    yield from PIECES


def missing(more: str = "") -> list[str]:
    """What is needed and not in the file; and what more a text has."""
    there = set(known())
    also = [
        piece
        for piece, _ in split().pre_tokenize_str(more)
        if _is_word(piece) or "\u4e00" <= piece <= "\u9fff"
    ]
    return [
        word for word in dict.fromkeys([*needed(), *also]) if word not in there and len(word) > 0
    ]


def main() -> None:
    """Prints what is new, and appends it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--append", action="store_true")
    parser.add_argument("--also", type=Path, help="a text whose words are needed, too")
    parser.add_argument("--package", action="store_true", help="those of the package's prompts")
    arguments = parser.parse_args()
    more = arguments.also.read_text(encoding="utf-8") if arguments.also else ""
    new = missing(more + "\n".join(package_texts() if arguments.package else []))
    print(f"{len(known())} words; {len(new)} new: {new}")
    if arguments.append:
        with FILE.open("a", encoding="utf-8") as file:
            for word in new:
                file.write(word.replace("\\", "\\\\").replace("\n", "\\n") + "\n")


if __name__ == "__main__":
    main()
