"""Settings of a processor that no Qwen-VL has are named with their file, entry and right value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.processing.processor_config import load_processor

WHOLE, ALONE = "processor_config.json", "preprocessor_config.json"


@pytest.fixture
def whole(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint whose processor is saved whole, as transformers 5 does."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture
def apart(whole: Path) -> Path:
    """The same in the files of published checkpoints."""
    settings = json.loads((whole / WHOLE).read_text())
    pictures = settings["image_processor"] | {"processor_class": settings["processor_class"]}
    (whole / ALONE).write_text(json.dumps(pictures))
    (whole / "video_preprocessor_config.json").write_text(json.dumps(settings["video_processor"]))
    (whole / WHOLE).unlink()
    return whole


def edit(path: Path, *where: str, **changes: Any) -> None:
    content = json.loads(path.read_text())
    inner = content
    for key in where:
        inner = inner[key]
    inner.update(changes)
    path.write_text(json.dumps(content))


def told_by_both(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        VisionChat.from_pretrained(folder, device="cpu")
    assert type(caught.value) is CheckpointError
    assert caught.value.hint
    assert str(caught.value) in inspect(folder).missing


@pytest.mark.parametrize("said", ["Qwen2_5_VLImageProcessor", "Qwen3VLImageProcessor", "Nope"])
def test_an_image_processor_that_does_not_exist_names_the_one_that_does(
    apart: Path, said: str
) -> None:
    edit(apart / ALONE, image_processor_type=said)
    told_by_both(apart, rf"'{said}' in .*{ALONE}.*write 'Qwen2VLImageProcessor' there")


def test_an_image_processor_within_a_whole_file_is_named_by_that_file(whole: Path) -> None:
    edit(whole / WHOLE, "image_processor", image_processor_type="Qwen2_5_VLImageProcessor")
    told_by_both(whole, rf"in .*/{WHOLE} cannot be used")


def test_an_image_processor_of_another_model_is_refused_before_it_answers(apart: Path) -> None:
    edit(apart / ALONE, image_processor_type="CLIPImageProcessor")
    told_by_both(apart, "'CLIPImageProcessor'")


@pytest.mark.parametrize("said", ["Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", None])
def test_an_image_processor_of_these_families_is_taken(apart: Path, said: str | None) -> None:
    edit(apart / ALONE, image_processor_type=said)
    assert inspect(apart).missing == ()
    assert load_processor(find_checkpoint(apart)).image_processor.patch_size == 14


@pytest.mark.parametrize("said", ["Nope", "LlavaProcessor"])
def test_a_processor_of_no_qwen_is_named_with_those_that_are(apart: Path, said: str) -> None:
    edit(apart / ALONE, processor_class=said)
    told_by_both(apart, rf"processor_class='{said}' in .*{ALONE}.*Qwen3VLProcessor")


def test_a_processor_that_this_transformers_lacks_is_named(apart: Path) -> None:
    """It begins as theirs do, so that only loading can tell."""
    edit(apart / ALONE, processor_class="Qwen9VLProcessor")
    with pytest.raises(CheckpointError, match=r"'Qwen9VLProcessor' in .*--upgrade transformers"):
        VisionChat.from_pretrained(apart, device="cpu")


def test_a_class_that_nobody_reads_is_no_fault(whole: Path) -> None:
    """The first file that names one counts."""
    edit(whole / "tokenizer_config.json", processor_class="Nope")
    assert inspect(whole).missing == ()
    load_processor(find_checkpoint(whole))


@pytest.mark.parametrize(
    ("size", "hint"),
    [
        ({"height": 224, "width": 224}, "base model"),
        ({"longest_edge": 100352}, "base model"),
        (224, "base model"),
        (
            {"min_pixels": 3136, "max_pixels": 100352},
            r'"size": \{"shortest_edge": 3136, "longest_edge": 100352\}',
        ),
    ],
)
def test_a_size_in_sides_is_named_with_what_stands_there(
    apart: Path, size: object, hint: str
) -> None:
    edit(apart / ALONE, size=size)
    told_by_both(apart, rf"size=.*in .*{ALONE}.*areas, not sides.*Try: .*{hint}")


def test_areas_at_the_top_count_as_in_transformers(apart: Path) -> None:
    edit(apart / ALONE, size=None, min_pixels=3136, max_pixels=100352)
    assert inspect(apart).missing == ()
    processor = load_processor(find_checkpoint(apart)).image_processor
    limits = VisionChat.from_pretrained(apart, device="cpu")._backend.rules.image_limits
    assert (limits.min_pixels, limits.max_pixels) == (3136, 100352)
    assert processor.size["longest_edge"] == 100352


def test_a_size_of_videos_in_sides_is_refused(apart: Path) -> None:
    edit(apart / "video_preprocessor_config.json", size={"height": 224, "width": 224})
    with pytest.raises(CheckpointError, match=r"VideoProcessor has size=.*shortest_edge"):
        VisionChat.from_pretrained(apart, device="cpu")


# The vocabulary.


def test_a_tokenizer_that_is_larger_than_the_embedding_is_refused_at_loading(whole: Path) -> None:
    """A token without a row would break the first answer that has it."""
    path = whole / "tokenizer.json"
    content = json.loads(path.read_text())
    first = max(token["id"] for token in content["added_tokens"]) + 1
    more = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"] += [
        {"id": first + index, "content": f"<click_{index}>", "special": True, **more}
        for index in range(448 - first + 1)
    ]
    path.write_text(json.dumps(content))
    message = r"up to the id 448 \('<click_\d+>'\), and the model's embedding has 448 rows"
    with pytest.raises(CheckpointError, match=message) as caught:
        VisionChat.from_pretrained(whole, device="cpu")
    assert "resize_token_embeddings" in caught.value.hint
    content["added_tokens"].pop()
    path.write_text(json.dumps(content))
    VisionChat.from_pretrained(whole, device="cpu")


def test_a_template_in_another_encoding_is_told_by_both(whole: Path) -> None:
    (whole / "chat_template.jinja").write_text("x", encoding="utf-16")
    for look in (VisionChat.from_pretrained, inspect):
        with pytest.raises(CheckpointError, match=r"chat_template\.jinja cannot be read.*UTF-8"):
            look(whole)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json", WHOLE])
def test_a_small_file_with_a_byte_order_mark_is_told_by_both(whole: Path, name: str) -> None:
    (whole / name).write_text("\ufeff" + (whole / name).read_text())
    for look in (VisionChat.from_pretrained, inspect):
        with pytest.raises(CheckpointError, match=rf"{name} cannot be read.*byte order mark"):
            look(whole)
