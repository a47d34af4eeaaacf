"""Published checkpoints' own files load, plan, render and run; only their weights are replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat, inspect
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import CheckpointError, UnsupportedFeatureError
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.testing.architectures import SHAPES, Dimensions
from tests.by_hand import CONVERSATIONS, by_hand, generate_by_hand, ids_of, kit_batch, picture
from tests.training.served import assert_served_as_trained, encoder_of

FILES = Path(__file__).parents[3] / "shared" / "checkpoints"

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"needs the side files of published checkpoints in {FILES}"
)

CHECKPOINTS = (
    "Qwen2-VL-2B-Instruct",
    "Qwen2.5-VL-3B-Instruct",
    "Qwen3-VL-8B-Instruct",
    "Qwen3.5-2B",
)

SAMPLING: Mapping[str, Sampling] = {
    "Qwen2-VL-2B-Instruct": Sampling(
        temperature=0.01, top_k=1, top_p=0.001, repetition_penalty=1.0
    ),
    # Its temperature of 0.000001 always takes the likeliest token.
    "Qwen2.5-VL-3B-Instruct": Sampling(repetition_penalty=1.05),
    "Qwen3-VL-8B-Instruct": Sampling(temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.0),
    # It has no generation_config.json: its model card's "Non-thinking mode for VL tasks".
    "Qwen3.5-2B": Sampling(temperature=0.7, top_p=0.8, top_k=20, presence_penalty=1.5),
}
END_IDS = {name: {151643, 151645} for name in CHECKPOINTS[:3]} | {"Qwen3.5-2B": {248044, 248046}}
CONTEXT = dict(zip(CHECKPOINTS, (32768, 128000, 262144, 262144)))
LIMITS = dict(zip(CHECKPOINTS, [(3136, 12845056)] * 2 + [(65536, 16777216)] * 2))


def shrink(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with few and narrow layers."""
    text = config.get("text_config", config)
    dimensions = Dimensions(64, 4, text["vocab_size"], text["max_position_embeddings"])
    text_shape, vision_shape = SHAPES[config["model_type"]]
    small = text_shape(dimensions)
    section = small.pop("rope_parameters")["mrope_section"]
    rope = next(name for name in ("rope_parameters", "rope_scaling") if name in text)
    text.update(small, **{rope: text[rope] | {"mrope_section": section}})
    if "layer_types" in text:
        text["layer_types"] = text["layer_types"][:4]
    config["vision_config"].update(vision_shape(dimensions))
    return config


def complete_vocabulary(folder: Path) -> None:
    """Make the vocabulary that a folder lacks from its merges, as byte-level BPE numbers it."""
    from tokenizers import AddedToken, pre_tokenizers
    from transformers.models.qwen3_5.tokenization_qwen3_5 import Qwen3_5Tokenizer

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    first_special = min(map(int, config["added_tokens_decoder"]))
    merges = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    pairs = [line.split(" ") for line in merges if line and not line.startswith("#version")]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in pairs)]
    tokens += [f"unused{index}" for index in range(first_special - len(tokens))]
    ids = {token: index for index, token in enumerate(tokens)}
    bpe = Qwen3_5Tokenizer(vocab=ids, merges=[tuple(pair) for pair in pairs]).backend_tokenizer
    bpe.add_tokens(
        [AddedToken(**entry) for _, entry in sorted(config["added_tokens_decoder"].items())]
    )
    bpe.save(str(folder / "tokenizer.json"))


def build(name: str, root: Path) -> Path:
    """A checkpoint's files beside random weights of its architecture, made small."""
    import transformers

    folder = Path(shutil.copytree(FILES / name, root / name))
    config = shrink(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if not (folder / "vocab.json").exists():
        complete_vocabulary(folder)
    torch.manual_seed(0)
    loaded = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config["architectures"][0])
    weights = root / "weights"
    model_class(loaded).save_pretrained(weights)
    shutil.move(weights / "model.safetensors", folder / "model.safetensors")
    shutil.rmtree(weights)
    return folder


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, built = tmp_path_factory.mktemp("published"), dict[str, Path]()

    def folder_of(name: str) -> Path:
        if name not in built:
            built[name] = build(name, root)
        return built[name]

    return folder_of


@pytest.fixture(scope="module", params=CHECKPOINTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def published(name: str, published_folder: Callable[[str], Path]) -> LocalBackend:
    return load_backend(published_folder(name))


def test_prompts_are_those_of_the_checkpoints_own_template(
    published: LocalBackend, conversation: list[Message]
) -> None:
    ours = kit_batch(VisionChat(published), [conversation])
    theirs = by_hand(published, [conversation])
    assert ours.keys() == theirs.keys()
    for key in theirs:
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.parametrize(
    "text",
    [
        "Was zeigt das Bild? 図 é\n\n  ok",
        "  two spaces  ",
        "Ünïcödé 👩‍👩‍👧",
        "a\r\nb\tc",
        "1234567",
    ],
)
def test_text_of_any_kind_renders_as_the_template_renders_it(
    published: LocalBackend, text: str
) -> None:
    messages = [Message.user(ImagePart(picture(320, 200)), text)]
    plan = VisionChat(published).plan(messages)
    expected = by_hand(published, [messages])["input_ids"][0].tolist()
    assert published._engine.encoder.encode_prompt(messages, plan.images).ids == expected
    assert plan.prompt_tokens == len(expected)


def test_thinking_is_switched_by_the_template_that_can(name: str, published: LocalBackend) -> None:
    asked = [Message("system", (ThinkingSwitch(True),)), Message.user("Why?")]
    if name != "Qwen3.5-2B":
        with pytest.raises(UnsupportedFeatureError, match="never thinks"):
            published.count_prompt_tokens(asked, [])
        return
    prompt = published.processor.apply_chat_template(
        [{"role": "user", "content": "Why?"}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
    )
    ids = published.processor.tokenizer.encode(prompt, add_special_tokens=False)
    assert published.count_prompt_tokens(asked, []) == len(ids)
    off = [Message("system", (ThinkingSwitch(False),)), Message.user("Why?")]
    plain = published.count_prompt_tokens([Message.user("Why?")], [])
    assert published.count_prompt_tokens(off, []) == plain


def test_published_sampling_is_used_and_shown(name: str, published: LocalBackend) -> None:
    assert published.default_sampling == SAMPLING[name]
    shown = published.report()["sampling"]
    chosen = SAMPLING[name]
    assert ("greedy" if chosen.is_greedy else f"temperature={chosen.temperature}") in shown


def test_end_tokens_come_out_right(name: str, published: LocalBackend) -> None:
    assert published._loaded.end_ids == END_IDS[name]


def test_limits_and_context_are_those_of_the_files(name: str, published: LocalBackend) -> None:
    limits = published.rules.image_limits
    assert (limits.min_pixels, limits.max_pixels) == LIMITS[name]
    assert published.rules.context_tokens == CONTEXT[name]


def test_it_answers_with_the_tokens_of_generate(published: LocalBackend) -> None:
    for messages in (CONVERSATIONS["one image"], CONVERSATIONS["a video of five frames"]):
        reply = VisionChat(published).ask(messages, sampling=Sampling(max_new_tokens=3))
        _, tokens = generate_by_hand(published, by_hand(published, [messages]), max_new_tokens=3)
        assert ids_of(reply) == tokens[0].tolist()


def test_budgets_hold(published: LocalBackend) -> None:
    chat = VisionChat(published, budget="quick")
    video = VideoPart([picture(320, 180, seed) for seed in range(4)], fps=2)
    plan = chat.plan([Message.user(ImagePart(picture(2000, 900)), video, "?")])
    assert 256 <= plan.images[0].tokens <= 512
    assert 256 <= plan.videos[0].tokens / 2 <= 512


def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FILES / "Qwen3.5-2B", tmp_path / "Qwen3.5-2B"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        VisionChat.from_pretrained(folder)
    assert any("tokenizer.json" in entry for entry in inspect(folder).missing)


def test_thinking_checkpoints_sample_as_their_cards_say(
    tmp_path: Path, published_folder: Callable[[str], Path]
) -> None:
    folder = Path(shutil.copytree(published_folder("Qwen3-VL-8B-Instruct"), tmp_path / "Thinking"))
    (folder / "generation_config.json").unlink()
    template = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))
    opened = template["chat_template"].replace(
        "<|im_start|>assistant\\n' }}\n{%- endif %}",
        "<|im_start|>assistant\\n<think>\\n' }}\n{%- endif %}",
    )
    assert opened != template["chat_template"]
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": opened}))
    sampling = load_backend(folder).default_sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 0.95, 20)
    assert sampling.presence_penalty is None


def test_training_sees_what_is_served(
    published: LocalBackend, name: str, published_folder: Callable[[str], Path]
) -> None:
    chat, encoder = VisionChat(published), encoder_of(published_folder(name))
    film = VideoPart([picture(112, 84, seed) for seed in range(4)], fps=2)
    question = [Message.user(ImagePart(picture(500, 300)), film, "What is different?")]
    assert_served_as_trained(chat, encoder, [*question, Message.assistant("The cat.")])
