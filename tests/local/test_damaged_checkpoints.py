"""Checkpoints that are damaged, incomplete, mixed up or meant to do harm.

Each is refused by an error of its own kind that says what to do, and no code in it is run.
"""

from __future__ import annotations

import gc
import json
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit import Sampling, VisionChat, inspect
from qwenvl_kit.backends.local import engine_backend
from qwenvl_kit.backends.local.loading import network, validation
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import (
    AdapterError,
    CheckpointError,
    ModelLoadError,
    ModelNotFoundError,
    OutdatedPackageError,
    UnknownFamilyError,
    UnsafeWeightsError,
    WeightsError,
)
from qwenvl_kit.processing.processor_config import load_published
from tests.by_hand import picture

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TABLE = "model.embed_tokens.weight"


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """After each refusal another model can be loaded: no lock is held."""
    yield
    assert not network._LOADING.locked()


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that code of a checkpoint would make; it is not there afterwards."""
    path = tmp_path / "code_was_run"
    yield path
    assert not path.exists()


def refuse(folder: Any, kind: type[ModelLoadError], match: str, **options: Any) -> None:
    """Loading fails with exactly this kind of error, and says something to try or expect."""
    with pytest.raises(ModelLoadError, match=match) as caught:
        VisionChat.from_pretrained(folder, device="cpu", **options)
    assert type(caught.value) is kind
    assert caught.value.expected or caught.value.hint


def edit(folder: Path, file: str = "config.json", *where: str, **changes: Any) -> Path:
    """Change entries of a JSON file, or of an object in it."""
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    inner = content
    for key in where:
        inner = inner.setdefault(key, {})
    inner.update(changes)
    path.write_text(json.dumps(content))
    return folder


def change_weights(folder: Path, **changes: Any) -> Path:
    weights = load_file(folder / WEIGHTS) | changes
    kept = {name: weight for name, weight in weights.items() if weight is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


# What is named.


@pytest.mark.parametrize("model", ["", "/", "a/b/c", "../x", "a b/c", "a/b\n", "C:\\models\\x"])
def test_what_is_neither_a_folder_nor_an_id_is_not_found(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = CheckpointError if model == "/" else ModelNotFoundError
    refuse(model, kind, "is not a folder|neither|config.json")


@pytest.mark.parametrize(
    "model",
    [3, b"x", 1.5, [], {}, True, object()],
    ids=lambda value: type(value).__name__,
)
def test_a_model_of_another_type_is_not_found(model: Any) -> None:
    refuse(model, ModelNotFoundError, f"type {type(model).__name__}")


def test_a_folder_that_is_no_checkpoint_lacks_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse(".", CheckpointError, r"config\.json")


def test_an_id_that_is_not_cached_says_how_to_fetch_it() -> None:
    refuse("nobody/nothing", ModelNotFoundError, "not in the cache.*network")


def test_a_folder_has_no_revisions(tiny_folder: Path) -> None:
    refuse(tiny_folder, ModelNotFoundError, "leave revision out", revision="main")


@pytest.mark.parametrize("source", ["moon", "", None, 3])
def test_an_unknown_source_names_the_known_ones(tiny_folder: Path, source: Any) -> None:
    refuse(tiny_folder, ModelLoadError, "'huggingface' or 'modelscope'", source=source)


# Which model it is.


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("qwen3", "text alone.*sibling"),
        ("qwen2_5_omni", "speech.*sibling"),
        ("llava", "not a Qwen vision-language model.*qwen3_vl"),
        ("qwen9_vl", "Qwen family that this version.*pip install --upgrade"),
        (None, "not a Qwen"),
        ("", "not a Qwen"),
        (["llava"], "not a Qwen"),
    ],
)
def test_another_model_is_told_what_it_is(copy: Path, model_type: Any, message: str) -> None:
    refuse(edit(copy, model_type=model_type), UnknownFamilyError, message)


def test_a_family_that_is_newer_than_transformers_names_the_version_and_the_command(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "transformers", SimpleNamespace(__version__="4.40.1"))
    refuse(
        tiny_folder,
        OutdatedPackageError,
        r'needs transformers >= 4\.45, and 4\.40\.1 .*pip install --upgrade "transformers>=4\.45"',
    )


def test_a_family_that_is_newer_than_torch_names_the_version_and_the_command(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "lacking", tuple)
    message = r'qwen2_vl needs torch >= [\d.]+, and .*pip install --upgrade "torch>=[\d.]+"'
    refuse(tiny_folder, OutdatedPackageError, message)


# config.json.

WRONG_CONFIGS: Mapping[str, Any] = {
    "a context in words": (("text_config",), {"max_position_embeddings": "abc"}),
    "a context below nothing": (("text_config",), {"max_position_embeddings": -5}),
    "no context": (("text_config",), {"max_position_embeddings": None}),
    "lists in lists": (("text_config",), {"max_position_embeddings": [1, [2, [3]]]}),
    "a width below nothing": (("text_config",), {"hidden_size": -1}),
    "a width in words": (("text_config",), {"hidden_size": "x"}),
    "no heads": (("text_config",), {"num_attention_heads": 0}),
    "other layers than listed": (("text_config",), {"num_hidden_layers": 10**9}),
    "an unknown activation": (("text_config",), {"hidden_act": "nonsense"}),
    "rope of another type": (("text_config",), {"rope_parameters": []}),
    "a language model that is a list": ((), {"text_config": []}),
    "a language model that is a number": ((), {"text_config": 3}),
    "a vision encoder that is a word": ((), {"vision_config": "x"}),
    "a placeholder in words": ((), {"image_token_id": "x"}),
    "quantisation that is a list": ((), {"quantization_config": [1]}),
    "an unknown type": ((), {"dtype": "x"}),
}


@pytest.mark.parametrize("name", WRONG_CONFIGS)
def test_a_wrong_entry_of_config_is_blamed_on_config(copy: Path, name: str) -> None:
    where, changes = WRONG_CONFIGS[name]
    refuse(edit(copy, "config.json", *where, **changes), CheckpointError, r"config\.json")


ENDLESS_CONFIGS: Mapping[str, Any] = {
    "layers": (("text_config",), {"num_hidden_layers": 10**8}),
    "blocks": (("vision_config",), {"depth": 10**8}),
    "labels": ((), {"num_labels": 10**8}),
    "labels of a part": (("vision_config",), {"num_labels": 1e8}),
    "angles": (("text_config",), {"head_dim": 10**8}),
    "angles of a part": (("text_config", "rope_parameters"), {"partial_rotary_factor": 1e8}),
}


@pytest.mark.parametrize("name", ENDLESS_CONFIGS)
def test_a_config_of_endlessly_many_things_is_refused_before_one_is_made(
    copy: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, changes = ENDLESS_CONFIGS[name]
    edit(copy, "config.json", *where, **changes)
    monkeypatch.setattr(network, "_LOADING", None)  # others load meanwhile
    said = rf"says {next(iter(changes))}=1.*; expected at most"
    with pytest.raises(CheckpointError, match=said):
        VisionChat.from_pretrained(copy, device="cpu")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=said):  # as `connect` does
        load_published(find_checkpoint(copy), read_settings(copy))
    assert "expected at most" in " ".join(inspect(copy).missing)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b"\0" * 100,
        b"[" * 100_000_000,
        b'{"model_type": ' + b"[" * 100_000,
    ],
    ids=["empty", "open", "list", "null", "no utf-8", "zeros", "100 MB of brackets", "nested"],
)
def test_a_config_that_is_no_json_object_is_named(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(copy)


def test_a_config_that_is_a_folder_is_named(copy: Path) -> None:
    (copy / "config.json").unlink()
    (copy / "config.json").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(copy)


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_a_config_of_a_much_larger_model_does_not_fill_the_memory(copy: Path, part: str) -> None:
    refuse(edit(copy, **{part: None}), WeightsError, r"describes \d+\.\d million parameters")


# Weights.


@pytest.mark.parametrize("length", [0, 4, 100, 20_000, -1])
def test_weights_that_were_cut_off_are_named(copy: Path, length: int) -> None:
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[:length])
    refuse(copy, WeightsError, rf"{WEIGHTS} (is empty|cannot be read).*download it again")


@pytest.mark.parametrize("position", [0, 7, 8, 40])
def test_weights_whose_header_is_corrupt_are_named(copy: Path, position: int) -> None:
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[position] ^= 0xFF
    (copy / WEIGHTS).write_bytes(content)
    refuse(copy, WeightsError, rf"{WEIGHTS} cannot be read")


def test_a_folder_without_weights_says_which_files_it_should_have(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    refuse(copy, WeightsError, rf"no weights.*{INDEX}")


def test_a_shard_that_is_absent_is_named(copy: Path) -> None:
    shard = "model-00001-of-00002.safetensors"
    (copy / WEIGHTS).rename(copy / shard)
    names = load_file(copy / shard)
    weight_map = dict.fromkeys(names, shard) | {TABLE: "model-00002-of-00002.safetensors"}
    (copy / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    refuse(copy, WeightsError, "lacks 1 of the 2 .*model-00002-of-00002")


def test_weights_of_another_shape_are_named_with_both(copy: Path) -> None:
    changed = change_weights(copy, **{"model.norm.weight": torch.ones(65)})
    message = r"1 weights .*norm\.weight of shape \(65,\) where config\.json says \(64,\)"
    refuse(changed, WeightsError, message)


def test_a_tensor_that_is_missing_is_named(copy: Path) -> None:
    name = "model.layers.3.mlp.down_proj.weight"
    refuse(change_weights(copy, **{name: None}), WeightsError, r"1 weights .*down_proj")


def test_layers_that_config_leaves_out_are_not_dropped_in_silence(copy: Path) -> None:
    fewer = edit(copy, "config.json", "vision_config", depth=1)
    refuse(fewer, WeightsError, r"layers that config\.json does not describe.*blocks\.1\.")


@pytest.mark.parametrize("damage", ["weights", "vocabulary"])
def test_a_refusal_while_loading_leaves_no_model_in_memory(copy: Path, damage: str) -> None:
    from transformers import PreTrainedModel

    def held() -> list[object]:
        gc.collect()
        models = [thing for thing in gc.get_objects() if issubclass(type(thing), PreTrainedModel)]
        return [*models, *engine_backend._BACKENDS]

    before = held()  # of other tests; held on to, as their end may come at any moment
    if damage == "weights":
        refuse(change_weights(copy, **{"model.norm.weight": torch.ones(65)}), WeightsError, "norm")
    else:
        refuse(edit(copy, image_token_id=5), CheckpointError, "the id")
    known = set(map(id, before))
    assert not [type(thing) for thing in held() if id(thing) not in known]


# Code in a checkpoint.


class Harm:
    """An object that makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return open, (str(self.marker), "w")


def test_the_pickle_of_these_tests_does_harm(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Harm(tmp_path / "made"))).close()
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "model.ckpt"])
def test_pickled_weights_are_refused_and_never_opened(copy: Path, marker: Path, name: str) -> None:
    (copy / WEIGHTS).unlink()
    (copy / name).write_bytes(pickle.dumps(Harm(marker)))
    refuse(copy, UnsafeWeightsError, rf"pickled weights only \({name}\).*safetensors")


def test_a_pickle_under_the_name_of_safetensors_is_never_opened(copy: Path, marker: Path) -> None:
    (copy / WEIGHTS).write_bytes(pickle.dumps(Harm(marker)))
    refuse(copy, WeightsError, "cannot be read")


def test_a_pickle_that_the_index_names_is_never_opened(copy: Path, marker: Path) -> None:
    (copy / WEIGHTS).unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(marker)))
    index = {"metadata": {}, "weight_map": {TABLE: "pytorch_model.bin"}}
    (copy / INDEX).write_text(json.dumps(index))
    refuse(copy, UnsafeWeightsError, r"pytorch_model\.bin")


@pytest.mark.parametrize(
    "name",
    [
        *("../other.safetensors", "a/../../other.safetensors", "/etc/other.safetensors"),
        *("..\\other.safetensors", "C:\\other.safetensors", "\\\\host\\other.safetensors"),
        *("x" * 300 + ".safetensors", "a/" * 600 + "b.safetensors", "\0.safetensors"),
    ],
)
def test_a_shard_outside_of_the_folder_is_never_opened(copy: Path, name: str) -> None:
    (copy / WEIGHTS).rename(copy.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": {TABLE: name}}
    (copy / INDEX).write_text(json.dumps(index))
    refuse(copy, WeightsError, "expected files inside its folder")


def test_a_pickle_that_config_names_is_never_opened(copy: Path, marker: Path) -> None:
    (copy / "evil.bin").write_bytes(pickle.dumps(Harm(marker)))
    refuse(edit(copy, transformers_weights="evil.bin"), WeightsError, "remove that entry")


def test_a_pickle_beside_the_weights_is_left_alone(copy: Path, marker: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (copy / name).write_bytes(pickle.dumps(Harm(marker)))
    VisionChat.from_pretrained(copy)


CODE = """
open({marker!r}, "w")
import transformers
class Config(transformers.Qwen2VLConfig): ...
class Model(transformers.Qwen2VLForConditionalGeneration): ...
class Tokenizer(transformers.PreTrainedTokenizerFast): ...
class Pictures(transformers.Qwen2VLImageProcessor): ...
class Processor(transformers.Qwen2VLProcessor): ...
"""

WAYS_TO_CODE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "configuration": ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}),
    "model": (
        "config.json",
        {
            "auto_map": {"AutoModelForImageTextToText": "evil.Model", "AutoModel": "evil.Model"},
            "architectures": ["Model"],
        },
    ),
    "tokenizer": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["evil.Tokenizer"] * 2}, "tokenizer_class": "Tokenizer"},
    ),
    "pictures": (
        "preprocessor_config.json",
        {"auto_map": {"AutoImageProcessor": "evil.Pictures"}, "image_processor_type": "Pictures"},
    ),
    "processor": (
        "processor_config.json",
        {"auto_map": {"AutoProcessor": "evil.Processor"}, "processor_class": "Processor"},
    ),
    "generation": ("generation_config.json", {"custom_generate": ".", "auto_map": {"x": "evil.x"}}),
    "quantisation": ("config.json", {"quantization_config": {"quant_method": "evil.Config"}}),
}


@pytest.mark.parametrize("way", WAYS_TO_CODE)
def test_code_that_a_checkpoint_brings_is_never_run(copy: Path, marker: Path, way: str) -> None:
    (copy / "evil.py").write_text(CODE.format(marker=str(marker)))
    (copy / "custom_generate").mkdir()
    (copy / "custom_generate" / "generate.py").write_text(CODE.format(marker=str(marker)))
    file, entries = WAYS_TO_CODE[way]
    with suppress(ModelLoadError):
        chat = VisionChat.from_pretrained(edit(copy, file, **entries), device="cpu")
        chat.ask("What?", picture(56, 56), sampling=Sampling(max_new_tokens=2))
    assert not marker.exists()


@pytest.mark.parametrize(
    "entry",
    ["_attn_implementation", "_attn_implementation_internal", "attn_implementation"],
)
@pytest.mark.parametrize("where", [(), ("text_config",), ("vision_config",)], ids=str)
def test_a_kernel_that_config_names_is_not_fetched(
    copy: Path, where: tuple[str, ...], entry: str
) -> None:
    edit(copy, "config.json", *where, **{entry: "nobody/kernel"})
    assert VisionChat.from_pretrained(copy, device="cpu").report()["attention"] == "sdpa"


def test_a_checkpoint_that_cannot_do_without_its_code_is_refused(copy: Path, marker: Path) -> None:
    (copy / "evil.py").write_text(CODE.format(marker=str(marker)))
    for file, entries in WAYS_TO_CODE.values():
        edit(copy, file, **{key: entries[key] for key in entries if key != "quantization_config"})
    refuse(copy, CheckpointError, r"code of its own \(auto_map\), which is never run")


def test_code_of_a_checkpoint_cannot_be_trusted_either(tiny_folder: Path) -> None:
    with pytest.raises(TypeError, match="trust_remote_code"):
        VisionChat.from_pretrained(tiny_folder, trust_remote_code=True)  # type: ignore[call-arg]


HARMFUL_TEMPLATES = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('touch MARKER').read() }}",
    "format": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "attr": "{{ messages | attr('__class__') | attr('__mro__') }}{{ ''.__class__.__mro__ }}",
    "changes": "{% set x = messages.append(1) %}",
    "no end": "{% for i in range(10 ** 9) %}{% endfor %}",
    "no name": "{{ nothing.at.all }}",
    "no template": "{% if %}",
    "a refusal": "{{ raise_exception('no') }}",
}


@pytest.mark.parametrize("name", HARMFUL_TEMPLATES)
def test_a_template_that_breaks_out_or_down_is_a_fault_of_the_checkpoint(
    copy: Path, marker: Path, name: str
) -> None:
    template = HARMFUL_TEMPLATES[name].replace("MARKER", str(marker))
    (copy / "chat_template.jinja").write_text(template)
    refuse(copy, CheckpointError, "cannot be used")


def test_a_template_without_pictures_is_a_fault_of_the_checkpoint(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("always the same")
    chat = VisionChat.from_pretrained(copy)
    with pytest.raises(CheckpointError, match="renders 0 of 1 pictures"):
        chat.ask("What?", picture(56, 56))


# The other small files.


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("tokenizer.json", "the vocabulary"),
        ("chat_template.jinja", "the chat template"),
        ("processor_config.json", r"preprocessor_config\.json"),
    ],
)
def test_a_file_that_is_missing_is_named_with_what_to_do(copy: Path, file: str, what: str) -> None:
    (copy / file).unlink()
    refuse(copy, CheckpointError, f"lacks .*{what}.*download it again, or copy")


def test_merges_without_their_vocabulary_are_not_enough(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "merges.txt").write_text("#version: 0.2\na b\n")
    refuse(copy, CheckpointError, r"vocab\.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, "\0"], ids=repr)
@pytest.mark.parametrize(
    "file", ["tokenizer_config.json", "processor_config.json", "generation_config.json"]
)
def test_a_damaged_settings_file_is_named(copy: Path, file: str, content: str) -> None:
    (copy / file).write_text(content)
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        VisionChat.from_pretrained(copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": 1}', "[" * 100_000], ids=repr)
def test_a_damaged_tokenizer_is_a_fault_of_the_checkpoint(copy: Path, content: str) -> None:
    (copy / "tokenizer.json").write_text(content)
    refuse(copy, CheckpointError, "processor")


def test_a_tokenizer_of_another_checkpoint_is_refused(copy: Path) -> None:
    path = copy / "tokenizer.json"
    text = path.read_text().replace("<|image_pad|>", "<|swapped|>")
    text = text.replace("<|video_pad|>", "<|image_pad|>")
    path.write_text(text.replace("<|swapped|>", "<|video_pad|>"))
    refuse(copy, CheckpointError, r"gives <\|image_pad\|> the id \d+, config\.json \d+")


def test_a_tokenizer_without_pictures_is_refused(copy: Path) -> None:
    path = copy / "tokenizer.json"
    path.write_text(path.read_text().replace("<|image_pad|>", "<|something|>"))
    refuse(copy, CheckpointError, r"<\|image_pad\|>")


def test_a_tokenizer_without_padding_is_refused(copy: Path) -> None:
    refuse(edit(copy, "tokenizer_config.json", pad_token=None), CheckpointError, "padding")


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_size": 16},
        {"merge_size": 4},
        {"temporal_patch_size": 1},
        {"patch_size": "x"},
        {"size": {"shortest_edge": 10**6, "longest_edge": 10}},
        {"size": {"shortest_edge": -5, "longest_edge": -1}},
        {"size": {"shortest_edge": "a", "longest_edge": "b"}},
        {"size": 3},
        {"image_processor_type": "Nope"},
    ],
    ids=str,
)
def test_settings_for_pictures_that_the_model_does_not_take_are_refused(
    copy: Path, changes: dict[str, Any]
) -> None:
    folder = edit(copy, "processor_config.json", "image_processor", **changes)
    refuse(folder, CheckpointError, "take|areas|cannot be")


@pytest.mark.parametrize(
    "changes",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": "x"},
        {"pad_token_id": "x"},
        {"eos_token_id": [[1]]},
        {"do_sample": True, "temperature": "hot"},
        {"do_sample": True, "top_p": 3},
        {"repetition_penalty": 0},
    ],
    ids=str,
)
def test_published_settings_that_cannot_be_used_are_refused(
    copy: Path, changes: dict[str, Any]
) -> None:
    refuse(edit(copy, "generation_config.json", **changes), CheckpointError, "cannot be used")


# What is only unusual.


def test_a_folder_with_spaces_and_signs_of_any_script_answers(copy: Path, tmp_path: Path) -> None:
    folder = copy.rename(tmp_path / "mes modèles (1) #2 模型 🦙 %20")
    chat = VisionChat.from_pretrained(str(folder))
    reply = chat.ask("What?", picture(56, 56), sampling=Sampling(max_new_tokens=2))
    assert reply.usage.completion_tokens == 2
    assert chat.report()["model"] == str(folder)


@pytest.mark.parametrize("file", ["generation_config.json", "tokenizer_config.json"])
def test_files_that_may_be_absent_may_be_absent(copy: Path, file: str) -> None:
    (copy / file).unlink()
    assert VisionChat.from_pretrained(copy).report()["family"] == "qwen2_vl"


def test_an_adapter_beside_the_weights_is_not_applied_unseen(copy: Path) -> None:
    (copy / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    refuse(copy, CheckpointError, r"adapter in the folder of its weights.*adapter=")


def test_a_wrong_adapter_is_refused_before_a_weight_is_read(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr(network, "_load_model", None)
    with pytest.raises(AdapterError, match="nowhere"):
        VisionChat.from_pretrained(copy, adapter=tmp_path / "nowhere")
