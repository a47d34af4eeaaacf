"""A keyword that the installed transformers would swallow is noticed, and not passed over."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.backends.local.engine import model_runner
from qwenvl_kit.backends.local.keywords import cache_keyword, names_of
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import GenerationError, OutdatedPackageError
from tests.by_hand import picture

MODEL = transformers.Qwen2VLForConditionalGeneration
FORWARD = MODEL.forward


@pytest.fixture
def replace_forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    return lambda function: monkeypatch.setattr(MODEL, "forward", function)


def _ids(chat: VisionChat) -> list[int | None]:
    reply = chat.ask("What is this?", sampling=Sampling(max_new_tokens=8))
    return [score.token_id for score in reply.scores]


@pytest.fixture(scope="module")
def expected(tiny_folder: Path) -> list[int | None]:
    return _ids(VisionChat.from_pretrained(tiny_folder))


def test_the_cache_goes_by_the_name_that_the_installed_forward_gives_it(
    tiny_folder: Path, replace_forward: Callable[[Any], None], expected: list[int | None]
) -> None:
    """As in transformers 5.40, whose forward passes over `past_key_values`."""
    if "cache" not in names_of(FORWARD):
        pytest.skip("this version of transformers calls it past_key_values")

    def changed(self: Any, *args: Any, past_key_values: Any = None, **kwargs: Any) -> Any:
        return FORWARD(self, *args, **kwargs)

    changed.__signature__ = inspect.signature(FORWARD)  # type: ignore[attr-defined]
    replace_forward(changed)
    assert _ids(VisionChat.from_pretrained(tiny_folder)) == expected


def test_a_forward_of_earlier_versions_is_given_past_key_values(
    tiny_folder: Path, replace_forward: Callable[[Any], None], expected: list[int | None]
) -> None:
    name = cache_keyword(load_backend(tiny_folder).model)

    def changed(  # noqa: PLR0917  # as transformers writes it
        self: Any,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        logits_to_keep: Any = 0,
        mm_encoder_outputs: Any = None,
        **kwargs: Any,
    ) -> Any:
        given = dict(locals(), **{name: past_key_values})
        for none in {"self", "kwargs", "past_key_values"} - {name}:
            given.pop(none)
        return FORWARD(self, **given, **kwargs)

    replace_forward(changed)
    assert _ids(VisionChat.from_pretrained(tiny_folder)) == expected


def _dropping(name: str) -> Callable[..., Any]:
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop(name, None)
        return FORWARD(self, *args, **kwargs)

    changed.__signature__ = inspect.signature(FORWARD)  # type: ignore[attr-defined]
    return changed


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_forward_that_names_its_cache_and_drops_it_refuses_the_load(
    tiny_folder: Path, replace_forward: Callable[[Any], None], dtype: str
) -> None:
    name = cache_keyword(load_backend(tiny_folder).model)
    replace_forward(_dropping(name))
    with pytest.raises(OutdatedPackageError, match=f"transformers {transformers.__version__}"):
        load_backend(tiny_folder, dtype=dtype)


@pytest.mark.parametrize(
    "gone", ["cache", "position_ids", "attention_mask", "logits_to_keep", "mm_encoder_outputs"]
)
def test_a_forward_that_does_not_name_a_keyword_refuses_the_load(
    tiny_folder: Path, replace_forward: Callable[[Any], None], gone: str
) -> None:
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return FORWARD(self, *args, **kwargs)

    signature = inspect.signature(FORWARD)
    left = [p for p in signature.parameters.values() if p.name not in (gone, "past_key_values")]
    if gone != "cache":
        left = [p for p in signature.parameters.values() if p.name != gone]
    changed.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    replace_forward(changed)
    with pytest.raises(OutdatedPackageError, match=gone) as caught:
        load_backend(tiny_folder)
    assert f"transformers {transformers.__version__}" in str(caught.value)


def test_positions_that_would_not_be_told_of_a_video_refuse_the_load(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(load_backend(tiny_folder).model.model)

    def get_rope_index(self: Any, input_ids: Any, **kwargs: Any) -> Any: ...

    monkeypatch.setattr(kind, "get_rope_index", get_rope_index)
    with pytest.raises(OutdatedPackageError, match="get_rope_index does not name"):
        load_backend(tiny_folder)


def test_what_rows_begin_with_is_an_error_where_transformers_loses_it(
    tiny_folder: Path, replace_forward: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_runner, "_MIN_SAVED", 8)
    chat = VisionChat.from_pretrained(tiny_folder)
    replace_forward(_dropping("shared_prefix"))
    texts = ("One?", "Two?", "Six?")
    questions = [Message.user(ImagePart(picture(512, 448, 5)), text) for text in texts]
    with pytest.raises(
        GenerationError, match=r"did not hand the shared prefix|must match the size"
    ):
        chat.ask_many(questions, on_error="raise")


def test_loading_raises_by_itself_where_a_keyword_is_not_known() -> None:
    """So that those which loading is given need not be looked up."""
    with pytest.raises(TypeError, match="no_such_keyword"):
        MODEL.from_pretrained(MODEL_FOLDER, no_such_keyword=1)
