"""A published checkpoint's own files load, render and plan; only its weights are replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from tests.by_hand import by_hand, picture

FILES = Path(__file__).parents[3] / "shared" / "checkpoints" / "Qwen2-VL-2B-Instruct"

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"needs the side files of a published checkpoint in {FILES}"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    """Its files beside random weights of the same architecture, made small."""
    import transformers

    folder = tmp_path_factory.mktemp("published") / "Qwen2-VL-2B-Instruct"
    shutil.copytree(FILES, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    }
    config["vision_config"] |= {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    model = transformers.Qwen2VLForConditionalGeneration(
        transformers.AutoConfig.from_pretrained(folder)
    )
    model.save_pretrained(folder)
    shutil.copy(FILES / "generation_config.json", folder)
    return load_backend(folder)


def test_prompts_are_those_of_the_checkpoints_own_template(published: LocalBackend) -> None:
    messages = [Message.user(ImagePart(picture(320, 200)), "Was zeigt das Bild? 図 é\n\n  ok")]
    chat = VisionChat(published)
    plan = chat.plan(messages)
    expected = by_hand(published, [messages])["input_ids"][0].tolist()
    assert published._encoder.encode_prompt(messages, plan.images) == expected
    assert plan.prompt_tokens == len(expected)


def test_published_sampling_and_end_tokens_are_kept(published: LocalBackend) -> None:
    expected = Sampling(temperature=0.01, top_k=1, top_p=0.001, repetition_penalty=1.0)
    assert published.default_sampling == expected
    assert published._loaded.end_ids == {151645, 151643}


def test_limits_are_those_of_the_preprocessor(published: LocalBackend) -> None:
    limits = published.rules.image_limits
    assert (limits.min_pixels, limits.max_pixels) == (3136, 12845056)
    assert published.rules.context_tokens == 32768


def test_it_answers(published: LocalBackend) -> None:
    chat = VisionChat(published, budget="quick")
    reply = chat.ask("What is this?", picture(300, 200), sampling=Sampling(max_new_tokens=3))
    assert 256 <= reply.usage.visual_tokens <= 512
    assert reply.usage.completion_tokens == 3
