"""Pages that models write as JSON."""

from __future__ import annotations

import pytest

from qwenvl_kit.documents.reading.json_pages import read_json_page


def test_entries_are_blocks_with_boxes_and_kinds() -> None:
    page = read_json_page(
        '```json\n[{"bbox_2d": [1, 2, 3, 4], "category": "heading", "text": "## Hi"},\n'
        '{"bbox": [5, 6, 7, 8], "category": "Table", "text": "<table><tr><td>1</td></tr></table>"},'
        '{"bbox": [5, 6, 7, 9], "category": "Formula", "text": "$$a$$"},'
        '{"bbox": [5, 6, 7, 9], "category": "Page-footer", "text": "3"},'
        '{"bbox": [5, 6, 7, 9], "category": "Picture"}]\n```'
    )
    found = [(block.kind, block.text, block.numbers) for block in page.blocks]
    assert found == [
        ("heading", "Hi", (1, 2, 3, 4)),
        ("table", "1", (5, 6, 7, 8)),
        ("formula", "a", (5, 6, 7, 9)),
        ("footer", "3", (5, 6, 7, 9)),
        ("image", "", (5, 6, 7, 9)),
    ]
    assert page.blocks[0].level == 2
    assert page.blocks[1].table is not None


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('[{"category": "text", "text": "cut', "the answer ends inside its JSON"),
        ('[{"bbox": [1, 2], "category": "text", "text": "a"}]', "a box is no list of four numbers"),
        (
            '[{"category": "odd", "text": "a"}]',
            "the category 'odd' is not known; it is given as text",
        ),
        ('[{"a": 1}]', "an entry without a text and a place"),
        ('[{"text": null, "bbox_2d": null}]', "an entry without a text and a place"),
        ("I see a page.", "the answer holds no JSON"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, warning: str) -> None:
    assert warning in read_json_page(text).warnings


def test_a_list_within_an_object_is_found() -> None:
    page = read_json_page('{"size": [1, 2], "layout": [{"type": "text", "text": "a"}]}')
    assert [block.text for block in page.blocks] == ["a"]
