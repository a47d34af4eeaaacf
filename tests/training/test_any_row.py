"""Whatever a row holds, it is an example or an error of the kit with its place."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.errors import QwenVLKitError, QwenVLKitWarning
from qwenvl_kit.training import Example, read_examples

KEYS = st.sampled_from(
    [
        *("query", "response", "history", "messages", "conversations", "conversation", "images"),
        *("image", "videos", "objects", "tools", "system", "weight", "prompt", "completion"),
        *("instruction", "input", "output", "role", "content", "from", "value", "loss"),
        *("loss_scale", "ref", "bbox", "bbox_type", "image_id", "human", "assistant", "type"),
        *("text", "tool_calls", "function", "name", "arguments", "reasoning_content", "other"),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            *("user", "assistant", "tool", "tool_call", "human", "gpt", "system", "norm1", "image"),
            *("<image>q", "<video>", "<bbox>", "<ref-object>", "<think>a</think>b", "</think>"),
            *('{"name": "f", "arguments": {}}', "[]", '[{"role": "user", "content": "q"}]'),
        ]
    ),
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(), TEXTS, st.just([0, 1, 2, 3])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": TEXTS, "content": VALUES}, optional={"loss": LEAVES, "tool_calls": VALUES}
    ),
    max_size=4,
)
ROWS = st.one_of(
    VALUES,
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.fixed_dictionaries({"messages": TURNS}, optional={"images": VALUES, "objects": VALUES}),
    st.fixed_dictionaries(
        {"query": VALUES, "response": VALUES}, optional={"history": VALUES, "loss_scale": VALUES}
    ),
    st.fixed_dictionaries({"prompt": TURNS, "completion": TURNS}, optional={"tools": VALUES}),
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(row=ROWS)
def test_any_row_is_an_example_or_an_error_with_its_place(row: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QwenVLKitWarning)
        first, *outcomes = read_examples([{"query": "q", "response": "a"}, row]).outcomes()
    assert isinstance(first, Example)
    for outcome in outcomes:
        assert isinstance(outcome, (Example, QwenVLKitError))
        assert outcome.where.startswith("rows[1]")
