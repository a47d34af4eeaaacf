"""LoRA adapters, compared with peft called by hand on the same weights."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

from qwenvl_kit.backends.local.loading.quantization import VISION_TOWER
from qwenvl_kit.backends.local.lora.adapters import Adapters
from qwenvl_kit.backends.local.lora.probe import Probe
from qwenvl_kit.backends.local.packed.int8_linear import Int8Linear
from qwenvl_kit.backends.local.packed.packing import pack_model, runs_here
from qwenvl_kit.checkpoints.packed_memory import Packing
from qwenvl_kit.errors import (
    AdapterError,
    MissingPackageError,
    ModelLoadError,
    OutdatedPackageError,
    UnsafeWeightsError,
)
from qwenvl_kit.families import family_of
from qwenvl_kit.testing import build_tiny_model

peft = pytest.importorskip("peft", reason="adapters need the optional package peft")

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"]
LANGUAGE = r".*language_model.*\.(q_proj|v_proj|down_proj|in_proj_qkv)"
VISION = r".*visual.*\.(qkv|fc1|linear_fc1|up_proj)"
WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"


on_packed = pytest.mark.skipif(
    not runs_here(Int8Linear), reason="this processor has no kernels for packed layers"
)


class Bench:
    """A fresh model of one family, its adapters under test, and adapters made by peft."""

    def __init__(self, family: str, built: Path, workshop: Path) -> None:
        self.family, self.built, self.workshop = family, built, workshop
        self.model = fresh(built)
        self.processor = AutoProcessor.from_pretrained(built)
        self.probe = Probe(self.model, self.processor, family_of(family))
        self.lock = threading.Lock()
        self.changes = 0
        self.adapters = Adapters(self.model, self.probe, lambda: self.lock, self._note)
        self.base = self.probe()

    def _note(self) -> None:
        self.changes += 1

    def train(self, name: str = "trained", *, seed: int = 0, **settings: Any) -> Path:
        """An adapter with random weights, saved by peft."""
        made = _trained(self.built, seed, json.dumps(settings))
        return Path(shutil.copytree(made, self.workshop / name))

    def by_peft(self, folder: Path) -> Any:
        """The same model with an adapter that peft loaded."""
        return peft.PeftModel.from_pretrained(fresh(self.built), folder)

    def logits_by_peft(self, folder: Path) -> torch.Tensor:
        return self.probe_of(self.by_peft(folder))

    def probe_of(self, model: Any) -> torch.Tensor:
        return Probe(model, self.processor, family_of(self.family))()

    def generate(self, model: Any = None) -> list[int]:
        inputs = self.processor(text=["What is it?"], return_tensors="pt")
        found = (model or self.model).generate(**inputs, max_new_tokens=6, do_sample=False)
        return found[0].tolist()  # type: ignore[no-any-return]

    def is_bare(self) -> bool:
        """Whether the model is as transformers made it."""
        kinds = {type(module).__module__.partition(".")[0] for module in self.model.modules()}
        return "peft" not in kinds and not hasattr(self.model, "peft_config")

    def is_frozen(self) -> bool:
        modules, parameters = self.model.modules(), self.model.parameters()
        return not any(m.training for m in modules) and not any(p.requires_grad for p in parameters)


@functools.cache
def _trained(built: Path, seed: int, settings: str) -> Path:
    """Each is made once; tests take copies."""
    config = peft.LoraConfig(**{"r": 4, "target_modules": LANGUAGE, **json.loads(settings)})
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model = peft.get_peft_model(fresh(built), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.1
        folder = built.with_name(f"{built.name}-{seed}-{_trained.cache_info().misses}")
        model.save_pretrained(folder)
    return folder


@functools.cache
def _loaded(built: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(built, dtype=torch.float32).eval()


def fresh(built: Path) -> Any:
    return copy.deepcopy(_loaded(built))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    root = tmp_path_factory.mktemp("models")

    @functools.cache
    def built(family: str) -> Path:
        return build_tiny_model(root / family, family=family)

    yield built
    _loaded.cache_clear()
    _trained.cache_clear()


@pytest.fixture
def bench(build: Callable[[str], Path], tmp_path: Path) -> Bench:
    return Bench("qwen2_vl", build("qwen2_vl"), tmp_path)


@pytest.fixture(params=FAMILIES)
def any_bench(
    request: pytest.FixtureRequest, build: Callable[[str], Path], tmp_path: Path
) -> Bench:
    return Bench(request.param, build(request.param), tmp_path)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors in an adapter's file, in place."""
    tensors = load_file(folder / WEIGHTS)
    replaced = change(tensors)
    save_file(replaced if isinstance(replaced, dict) else tensors, folder / WEIGHTS)


def configure(folder: Path, **settings: Any) -> None:
    found = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**found, **settings}))


def as_before_4_52(folder: Path) -> Path:
    """A copy of an adapter, by the names that modules had before transformers 4.52."""
    old = shutil.copytree(folder, folder.with_name(f"{folder.name}-old"))
    rewrite(old, lambda tensors: {_old_name(name): t for name, t in tensors.items()})
    return Path(old)


def _old_name(name: str) -> str:
    return name.replace("model.model.language_model.", "model.model.").replace(
        "model.model.visual.", "model.visual."
    )


def test_an_adapter_gives_the_logits_and_tokens_that_peft_gives(any_bench: Bench) -> None:
    folder = any_bench.train(target_modules=f"{LANGUAGE}|{VISION}")
    any_bench.adapters.load(folder)
    assert torch.equal(any_bench.probe(), any_bench.logits_by_peft(folder))
    assert any_bench.generate() == any_bench.generate(any_bench.by_peft(folder))
    assert any_bench.is_frozen()


def test_detaching_gives_the_base_models_logits_bit_for_bit(any_bench: Bench) -> None:
    name = any_bench.adapters.load(any_bench.train())
    adapted = any_bench.probe()
    any_bench.adapters.use(None)
    assert torch.equal(any_bench.probe(), any_bench.base)
    any_bench.adapters.use(name)
    assert torch.equal(any_bench.probe(), adapted)
    assert not torch.equal(adapted, any_bench.base)


def test_merging_keeps_the_answers_and_leaves_no_layer_of_peft(any_bench: Bench) -> None:
    folder = any_bench.train(target_modules="all-linear")
    any_bench.adapters.load(folder)
    adapted, tokens = any_bench.probe(), any_bench.generate()
    by_hand = any_bench.by_peft(folder).merge_and_unload()
    any_bench.adapters.merge()
    # The recurrent state of linear attention adds up what merging rounds.
    tolerance = 1e-4 if "3_5" in any_bench.family else 2e-5
    assert (any_bench.probe() - adapted).abs().max() <= tolerance
    assert torch.equal(any_bench.probe(), any_bench.probe_of(by_hand))
    assert any_bench.generate() == tokens
    assert any_bench.is_bare()
    assert any_bench.adapters.names == ()
    assert any_bench.adapters.active is None


@pytest.mark.parametrize("family", ["qwen3_vl_moe", "qwen3_5_moe"])
def test_adapters_of_experts_work(
    family: str, build: Callable[[str], Path], tmp_path: Path
) -> None:
    bench = Bench(family, build(family), tmp_path)
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    folder = bench.train(target_modules=["q_proj"], target_parameters=experts)
    bench.adapters.load(folder)
    adapted = bench.probe()
    assert torch.equal(adapted, bench.logits_by_peft(folder))
    bench.adapters.merge()
    assert (bench.probe() - adapted).abs().max() <= 2e-5


def test_one_switches_between_adapters_of_other_ranks_and_layers(bench: Bench) -> None:
    folders = [
        bench.train("first", r=2, target_modules=["q_proj"]),
        bench.train("second", r=8, lora_alpha=32, target_modules=VISION, seed=1),
        bench.train("third", r=4, target_modules=["q_proj", "mlp.0", "embed_tokens"], seed=2),
    ]
    names = [bench.adapters.load(folder) for folder in folders]
    assert bench.adapters.names == ("first", "second", "third")
    for name, folder in (*zip(names, folders), (names[0], folders[0])):
        bench.adapters.use(name)
        assert bench.adapters.active == name
        assert torch.equal(bench.probe(), bench.logits_by_peft(folder))
    assert bench.is_frozen()


def test_modules_that_are_saved_whole_come_and_go_with_their_adapter(bench: Bench) -> None:
    whole = bench.train("whole", modules_to_save=["lm_head", "visual.merger"])
    plain = bench.train("plain", seed=1)
    for folder in (whole, plain):
        bench.adapters.load(folder)
    for folder in (whole, plain, whole):
        bench.adapters.use(folder.name)
        assert torch.equal(bench.probe(), bench.logits_by_peft(folder))
    bench.adapters.use(None)
    assert torch.equal(bench.probe(), bench.base)
    bench.adapters.use("plain")
    adapted = bench.probe()
    bench.adapters.merge()
    assert (bench.probe() - adapted).abs().max() <= 2e-5
    assert bench.is_bare()


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"use_rslora": True, "r": 8},
        {"init_lora_weights": "gaussian"},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 64}},
        {"layers_to_transform": [1, 2], "target_modules": ["q_proj", "o_proj"]},
        {"task_type": "CAUSAL_LM", "lora_dropout": 0.3},
    ],
    ids=str,
)
def test_what_peft_can_train_can_be_loaded(bench: Bench, settings: dict[str, Any]) -> None:
    folder = bench.train(**settings)
    bench.adapters.load(folder)
    assert torch.equal(bench.probe(), bench.logits_by_peft(folder))
    adapted = bench.probe()
    bench.adapters.merge()
    assert (bench.probe() - adapted).abs().max() <= 2e-5


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "v_proj", "qkv", "lm_head"]},
        {"target_modules": "all-linear"},
        {"modules_to_save": ["embed_tokens"]},
    ],
    ids=["names", "all-linear", "modules saved whole"],
)
def test_an_adapter_with_old_names_equals_its_twin_with_new_ones(
    family: str, settings: dict[str, Any], build: Callable[[str], Path], tmp_path: Path
) -> None:
    bench = Bench(family, build(family), tmp_path)
    twin = bench.train(**settings)
    bench.adapters.load(as_before_4_52(twin))
    assert torch.equal(bench.probe(), bench.logits_by_peft(twin))


@pytest.mark.parametrize(
    "pattern", [r"^model(?!.*visual).*\.(q_proj|v_proj)", r"^(?!visual).*\.(q_proj|v_proj)"]
)
def test_old_patterns_mean_the_layers_that_were_trained(bench: Bench, pattern: str) -> None:
    ranks = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 3}}
    twin = bench.train(target_modules=r".*language_model.*\.(q_proj|v_proj)", **ranks)
    old = as_before_4_52(twin)
    places = {r"^model\.layers\.\d\.self_attn\.q_proj": 2}, {r"model\.layers.*q_proj": 3}
    configure(old, target_modules=pattern, rank_pattern=places[0], alpha_pattern=places[1])
    bench.adapters.load(old)
    assert torch.equal(bench.probe(), bench.logits_by_peft(twin))


def test_peft_alone_leaves_an_adapter_with_old_names_without_effect(bench: Bench) -> None:
    """Why the kit renames; if this fails, peft has learned it."""
    with pytest.warns(UserWarning, match="missing adapter keys"):
        assert torch.equal(bench.logits_by_peft(as_before_4_52(bench.train())), bench.base)


def test_an_untrained_adapter_is_an_error(bench: Bench) -> None:
    folder = bench.train()
    rewrite(folder, lambda tensors: [t.zero_() for n, t in tensors.items() if "lora_B" in n])
    with pytest.raises(AdapterError, match="changes nothing"):
        bench.adapters.load(folder)
    assert bench.is_bare()


def test_an_untrained_adapter_is_an_error_beside_one_that_works(bench: Bench) -> None:
    bench.adapters.load(bench.train("good"))
    adapted = bench.probe()
    folder = bench.train("idle")
    rewrite(folder, lambda tensors: [t.zero_() for n, t in tensors.items() if "lora_B" in n])
    with pytest.raises(AdapterError, match="changes nothing"):
        bench.adapters.load(folder)
    assert bench.adapters.names == ("good",)
    assert bench.adapters.active == "good"
    assert torch.equal(bench.probe(), adapted)


FIRST = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"


def _break_settings(**settings: Any) -> Callable[[Path], None]:
    return lambda folder: configure(folder, **settings)


def _break_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change)


def _rename_deeper(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace(".layers.", ".blocks."): t for name, t in tensors.items()}


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a key too many": (
        _break_weights(lambda t: t.update({f"{FIRST}x": torch.ones(1)})),
        r"1 weights .* have no place in the model, .*q_proj.lora_A.weightx' first",
    ),
    "names of another model": (_break_weights(_rename_deeper), "24 weights .* no place"),
    "a missing key": (_break_weights(lambda t: t.pop(FIRST)), "1 weights .* missing.*" + FIRST),
    "another shape": (
        _break_weights(lambda t: t.update({FIRST: torch.ones(4, 96)})),
        r"differ in shape, .*; expected an adapter of .*qwen2_vl; this one is of .*qwen2_vl",
    ),
    "another rank": (_break_settings(r=8), "differ in shape"),
    "no tensors": (_break_weights(lambda _: {}), "holds no weights"),
    "NaN": (_break_weights(lambda t: t[FIRST].fill_(torch.nan)), "NaN, in .*" + FIRST),
    "broken weights": (lambda f: (f / WEIGHTS).write_bytes(b"no"), "SafetensorError"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "No such file.*" + WEIGHTS),
    "no settings": (lambda f: (f / SETTINGS).unlink(), "No such file.*" + SETTINGS),
    "settings that are no JSON": (lambda f: (f / SETTINGS).write_text("{"), "JSONDecodeError"),
    "settings of a list": (lambda f: (f / SETTINGS).write_text("[]"), "'list' object"),
    "another method": (_break_settings(peft_type="IA3"), "peft_type='IA3'; expected .*LORA"),
    "no method": (_break_settings(peft_type=None), "peft_type=None"),
    "trained biases": (_break_settings(bias="all"), "bias='all'"),
    "PiSSA": (_break_settings(init_lora_weights="pissa"), "init_lora_weights='pissa'"),
    "layers that do not exist": (
        _break_settings(target_modules=["nothing"]),
        "nothing.* not found",
    ),
    "a layer that cannot be adapted": (
        _break_settings(target_modules=["q_proj", "v_proj", "down_proj", "norm1"]),
        "not supported",
    ),
    "a rank that is no number": (_break_settings(r="four"), "cannot be used"),
    "fewer layers than weights": (_break_settings(target_modules=["q_proj"]), "no place"),
    "more layers than weights": (_break_settings(target_modules="all-linear"), "are missing"),
    "another family": (
        _break_settings(auto_mapping={"base_model_class": "Qwen2_5_VLForConditionalGeneration"}),
        "trained on a Qwen2_5_VLForConditionalGeneration; expected a Qwen2VLFor",
    ),
}


@pytest.mark.parametrize("have_another", [False, True], ids=["first", "second"])
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(
    bench: Bench, damage: Callable[[Path], object], message: str, have_another: bool
) -> None:
    if have_another:
        bench.adapters.load(bench.train("other", seed=3, r=2, target_modules=["q_proj", "qkv"]))
    before, names, active = bench.probe(), bench.adapters.names, bench.adapters.active
    changes, structure = bench.changes, str(bench.model)
    folder = bench.train()
    damage(folder)
    with pytest.raises(AdapterError, match=message):
        bench.adapters.load(folder)
    assert torch.equal(bench.probe(), before)
    assert (bench.adapters.names, bench.adapters.active) == (names, active)
    assert (bench.changes, str(bench.model)) == (changes, structure)
    assert bench.is_bare() != have_another
    bench.adapters.use(None)
    assert torch.equal(bench.probe(), bench.base)
    bench.adapters.load(bench.train("whole", seed=4))


def test_an_adapter_of_another_family_is_an_error(
    bench: Bench, build: Callable[[str], Path], tmp_path: Path
) -> None:
    other = Bench("qwen3_5", build("qwen3_5"), tmp_path / "other")
    with pytest.raises(AdapterError, match="Qwen3_5ForConditionalGeneration"):
        bench.adapters.load(other.train())
    with pytest.raises(AdapterError, match=r"expected an adapter of .*qwen2_vl; .* of .*qwen3_5"):
        bench.adapters.load(other.train("named", task_type="CAUSAL_LM"))
    assert bench.is_bare()


def test_pickled_weights_are_not_opened(bench: Bench) -> None:
    folder = bench.train()
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(UnsafeWeightsError, match="pickled"):
        bench.adapters.load(folder)


def test_a_whole_model_is_no_adapter(bench: Bench) -> None:
    with pytest.raises(AdapterError, match=r"is a whole model.*from_pretrained"):
        bench.adapters.load(bench.built)


@pytest.mark.parametrize("folder", ["nowhere", "", 7, None], ids=repr)
def test_what_is_no_folder_is_an_error(bench: Bench, folder: Any) -> None:
    with pytest.raises(AdapterError, match="adapter_config"):
        bench.adapters.load(folder)


@pytest.mark.parametrize(
    "name", ["v1.2", "a/b", "train", "lora", "weight", "q_proj", "0", "ä ö", "model.layers"]
)
def test_any_text_is_a_name(bench: Bench, name: str) -> None:
    folder = bench.train()
    assert bench.adapters.load(folder, name) == name
    assert torch.equal(bench.probe(), bench.logits_by_peft(folder))


def test_an_adapter_is_named_after_its_folder(bench: Bench, monkeypatch: Any) -> None:
    folder = bench.train("checkpoint-1.5")
    monkeypatch.chdir(folder)
    assert bench.adapters.load(".") == "checkpoint-1.5"
    assert bench.adapters.load(f"{folder}/", "again") == "again"


def test_a_name_serves_one_adapter_at_a_time(bench: Bench) -> None:
    folder = bench.train()
    bench.adapters.load(folder)
    with pytest.raises(AdapterError, match="'trained'"):
        bench.adapters.load(folder)
    bench.adapters.remove("trained")
    assert bench.adapters.load(folder) == "trained"
    for name in ("", 7):
        with pytest.raises(AdapterError, match="expected a name beside"):
            bench.adapters.load(folder, name)  # type: ignore[arg-type]


def test_unknown_names_are_errors(bench: Bench) -> None:
    bench.adapters.load(bench.train())
    for call in (bench.adapters.use, bench.adapters.remove):
        with pytest.raises(AdapterError, match=r"'other'.*\('trained',\)"):
            call("other")
    assert bench.adapters.active == "trained"


def test_removing_the_last_adapter_leaves_no_layer_of_peft(any_bench: Bench) -> None:
    name = any_bench.adapters.load(any_bench.train(target_modules="all-linear"))
    any_bench.adapters.remove(name)
    assert any_bench.is_bare()
    assert torch.equal(any_bench.probe(), any_bench.base)
    assert any_bench.adapters.names == ()


def test_removing_an_adapter_leaves_the_others(bench: Bench, recwarn: Any) -> None:
    folders = [bench.train(str(i), seed=i, r=i + 1) for i in range(3)]
    for folder in folders:
        bench.adapters.load(folder)
    recwarn.clear()
    bench.adapters.remove("0")
    assert bench.adapters.active == "2"
    assert torch.equal(bench.probe(), bench.logits_by_peft(folders[2]))
    bench.adapters.remove("2")
    assert bench.adapters.active is None
    assert torch.equal(bench.probe(), bench.base)
    bench.adapters.use("1")
    assert torch.equal(bench.probe(), bench.logits_by_peft(folders[1]))
    assert not [w for w in recwarn if "adapter" in str(w.message)]


def test_without_an_active_adapter_nothing_is_merged(bench: Bench) -> None:
    with pytest.raises(AdapterError, match="no adapter is in use"):
        bench.adapters.merge()
    bench.adapters.load(bench.train())
    bench.adapters.use(None)
    with pytest.raises(AdapterError, match="no adapter is in use"):
        bench.adapters.merge()


def test_after_a_merge_another_adapter_can_be_loaded(bench: Bench) -> None:
    bench.adapters.load(bench.train("first"))
    bench.adapters.load(bench.train("second", seed=1))
    bench.adapters.use("first")
    bench.adapters.merge()
    merged = bench.probe()
    bench.adapters.load(bench.workshop / "second")
    bench.adapters.use(None)
    assert torch.equal(bench.probe(), merged)


@pytest.mark.parametrize("end", ["lm_head", "embed_tokens"])
def test_an_adapter_of_one_end_of_a_tied_model_is_not_merged(bench: Bench, end: str) -> None:
    folder = bench.train(target_modules=[end, "q_proj"])
    bench.adapters.load(folder)
    adapted = bench.probe()
    assert torch.equal(adapted, bench.logits_by_peft(folder))
    with pytest.raises(AdapterError, match="one weight"):
        bench.adapters.merge()
    assert torch.equal(bench.probe(), adapted)


def test_an_embedding_that_was_changed_too_is_an_error(bench: Bench) -> None:
    folder = bench.train(target_modules=["embed_tokens"])
    repeated = [n for n in load_file(folder / WEIGHTS) if "base_layer" in n]
    assert repeated  # peft saves the embedding beside its adapter
    rewrite(folder, lambda tensors: [tensors[name].add_(1) for name in repeated])
    with pytest.raises(AdapterError, match=r"no place.*base_layer"):
        bench.adapters.load(folder)
    assert torch.equal(bench.probe(), bench.base)


def test_the_model_stays_the_same_object_with_its_vision_encoder(bench: Bench) -> None:
    model, vision = bench.model, bench.model.model.visual
    bench.adapters.load(bench.train(target_modules=VISION))
    assert bench.adapters._model is model
    assert model.model.visual is vision
    bench.adapters.merge()
    assert model.model.visual is vision
    assert bench.is_frozen()


def test_an_adapter_in_half_precision_equals_pefts(bench: Bench) -> None:
    bench.model.to(torch.bfloat16)
    folder = bench.train()
    bench.adapters.load(folder)
    by_hand = peft.PeftModel.from_pretrained(fresh(bench.built).to(torch.bfloat16), folder)
    assert torch.equal(bench.probe(), bench.probe_of(by_hand))


@pytest.mark.parametrize("how", [{"load_in_4bit": True}, {"load_in_8bit": True}], ids=str)
def test_an_adapter_of_a_quantised_model_equals_pefts(bench: Bench, how: dict[str, bool]) -> None:
    pytest.importorskip("bitsandbytes", reason="quantised models need bitsandbytes")
    from transformers import BitsAndBytesConfig

    def quantised() -> Any:
        skipped = ["lm_head", "model.visual"]
        config = BitsAndBytesConfig(**how, llm_int8_skip_modules=skipped)  # type: ignore[arg-type]
        return AutoModelForImageTextToText.from_pretrained(
            bench.built, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
        ).eval()

    model, folder = quantised(), bench.train()
    probe = Probe(model, bench.processor, family_of("qwen2_vl"))
    base, adapters = probe(), Adapters(model, probe, threading.Lock)
    adapters.load(folder)
    by_hand = peft.PeftModel.from_pretrained(quantised(), folder)
    assert torch.equal(probe(), bench.probe_of(by_hand))
    adapters.use(None)
    assert torch.equal(probe(), base)
    adapters.use("trained")
    _merge_quantised(adapters, probe, by_hand, bench)


@on_packed
@pytest.mark.parametrize("layers", ["int8", "int4"])
def test_an_adapter_of_a_packed_model_equals_pefts(bench: Bench, layers: Any) -> None:
    by_hand = fresh(bench.built)
    for model in (bench.model, by_hand):
        pack_model(model, Packing(layers, "a test"), family_of("qwen2_vl"), VISION_TOWER)
    base, folder = bench.probe(), bench.train()
    bench.adapters.load(folder)
    by_hand = peft.PeftModel.from_pretrained(by_hand, folder)
    assert torch.equal(bench.probe(), bench.probe_of(by_hand))
    with pytest.raises(AdapterError, match=r"packed for this processor.*use it unmerged"):
        bench.adapters.merge()
    bench.adapters.use(None)
    assert torch.equal(bench.probe(), base)


@on_packed
@pytest.mark.parametrize(
    "settings", [{"modules_to_save": ["lm_head"]}, {"use_dora": True}], ids=str
)
def test_an_adapter_that_needs_the_weights_of_packed_layers_is_refused(
    bench: Bench, settings: dict[str, Any]
) -> None:
    pack_model(bench.model, Packing("int8", "a test"), family_of("qwen2_vl"), VISION_TOWER)
    base, folder = bench.probe(), bench.train("whole", **settings)
    with pytest.raises(AdapterError):
        bench.adapters.load(folder)
    assert torch.equal(bench.probe(), base)
    assert bench.is_bare()


def _merge_quantised(adapters: Adapters, probe: Any, by_hand: Any, bench: Bench) -> None:
    """On some CPUs bitsandbytes packs 4-bit weights, and peft would merge into noise."""
    adapted = probe()
    states = [getattr(p, "quant_state", None) for p in adapters._model.parameters()]
    if any(getattr(state, "packing_format_for_cpu", False) for state in states):
        with pytest.raises(AdapterError, match="packed the weights for this CPU"):
            adapters.merge()
        assert torch.equal(probe(), adapted)
    else:
        adapters.merge()
        assert torch.equal(probe(), bench.probe_of(by_hand.merge_and_unload()))


def test_loading_draws_none_of_the_callers_random_numbers(bench: Bench) -> None:
    folder = bench.train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    bench.adapters.load(folder)
    assert torch.equal(torch.rand(3), expected)


def test_loading_works_where_gradients_are_switched_off(bench: Bench) -> None:
    folder = bench.train()
    with torch.inference_mode():
        bench.adapters.load(folder)
    adapted = bench.probe()
    bench.adapters.merge()
    assert (bench.probe() - adapted).abs().max() <= 2e-5


def test_adapters_change_only_while_the_lock_is_held(bench: Bench) -> None:
    held: list[bool] = []
    bench.adapters._on_change = lambda: held.append(bench.lock.locked())
    folder = bench.train()
    bench.adapters.load(folder)
    bench.adapters.use(None)
    bench.adapters.use("trained")
    bench.adapters.merge()
    bench.adapters.remove(bench.adapters.load(folder))
    assert held == [True] * 6
    assert not bench.lock.locked()


def test_a_change_waits_for_the_lock(bench: Bench) -> None:
    bench.adapters.load(bench.train())
    with bench.lock:
        waiting = threading.Thread(target=bench.adapters.use, args=(None,))
        waiting.start()
        waiting.join(0.05)
        assert bench.adapters.active == "trained"
    waiting.join()
    assert bench.adapters.active is None


def test_an_interrupted_load_is_undone(bench: Bench, monkeypatch: Any) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qwenvl_kit.backends.local.lora.adapters._check_effect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.adapters.load(bench.train())
    assert bench.is_bare()
    assert torch.equal(bench.probe(), bench.base)


def pretend_peft(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    def found(package: str) -> str:
        if version is None:
            raise PackageNotFoundError(package)
        return version

    monkeypatch.setattr("qwenvl_kit.backends.local.lora.adapters.version", found)


def test_without_peft_the_error_names_the_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bench.train()
    pretend_peft(monkeypatch, None)
    with pytest.raises(MissingPackageError, match=r"pip install .*peft"):
        bench.adapters.load(folder)
    assert bench.is_bare()


def test_a_peft_that_is_too_old_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.train()
    pretend_peft(monkeypatch, "0.17.1")
    with pytest.raises(OutdatedPackageError, match=r"0\.17\.1.*pip install --upgrade"):
        bench.adapters.load(folder)
    assert bench.is_bare()


def test_a_closed_model_takes_no_adapter(bench: Bench) -> None:
    folder = bench.train()
    bench.adapters.load(folder)
    bench.adapters.close()
    assert bench.adapters.names == ()
    with pytest.raises(ModelLoadError, match="closed"):
        bench.adapters.load(folder)


def test_an_adapter_of_the_language_model_alone_is_one_of_the_whole(
    build: Callable[[str], Path], tmp_path: Path
) -> None:
    bench = Bench("qwen3_5", build("qwen3_5"), tmp_path)
    twin = bench.train()
    alone = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(bench.built, dtype=torch.float32),
        peft.LoraConfig(r=4, target_modules=r".*\.(q_proj|v_proj|down_proj|in_proj_qkv)"),
    )
    alone.save_pretrained(tmp_path / "alone")
    trained = {_old_name(name): t for name, t in load_file(twin / WEIGHTS).items()}
    assert trained.keys() == load_file(tmp_path / "alone" / WEIGHTS).keys()
    rewrite(tmp_path / "alone", lambda _: trained)
    bench.adapters.load(tmp_path / "alone")
    assert torch.equal(bench.probe(), bench.logits_by_peft(twin))


def test_trained_tokens_come_with_their_adapter(bench: Bench) -> None:
    folder = bench.train(trainable_token_indices=[1, 2, 3, 65])
    bench.adapters.load(folder)
    assert torch.equal(bench.probe(), bench.logits_by_peft(folder))
    bench.adapters.use(None)
    assert torch.equal(bench.probe(), bench.base)
    bench.adapters.remove("trained")
    assert bench.is_bare()
