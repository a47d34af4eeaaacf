"""Layers that are packed for a processor: what they compute, hold and refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.local.loading.quantization import VISION_TOWER
from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.backends.local.packed.int4_linear import Int4Linear
from qwenvl_kit.backends.local.packed.int8_linear import Int8Linear, LastInput
from qwenvl_kit.backends.local.packed.packing import choose_packing, pack_model, runs_here
from qwenvl_kit.checkpoints.packed_memory import Packing
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import ids_of, picture

pytestmark = pytest.mark.skipif(
    not (runs_here(Int8Linear) and runs_here(Int4Linear)),
    reason="this processor has no kernels for packed layers",
)

CPU = torch.device("cpu")
SHAPES = [(64, 32), (128, 96), (1024, 64), (192, 4128)]
KINDS: dict[type[PackedLinear], float] = {Int8Linear: 5e-4, Int4Linear: 2e-2}
"""Kinds of layers, with the error of what they compute: bf16 has 8 bits, two digits have 14."""


def linear(columns: int, rows: int, *, bias: bool = True) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(columns, rows, bias=bias).requires_grad_(False)


def by_hand(layer: PackedLinear, inputs: torch.Tensor) -> torch.Tensor:
    """The product with the matrix for which the packed values stand, in fp64."""
    product = inputs.double() @ layer.dequantized_weight().double().T
    return product if layer.bias is None else product + layer.bias.double()


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The root mean square of the difference, in standard deviations."""
    return float((found.double() - expected).square().mean().sqrt() / expected.std())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computes_the_product_with_its_dequantised_matrix(
    kind: type[PackedLinear], shape: tuple[int, int], bias: bool
) -> None:
    layer, inputs = kind(linear(*shape, bias=bias)), torch.randn(2, 5, shape[0])
    assert layer(inputs).shape == (2, 5, shape[1])
    assert error(layer(inputs), by_hand(layer, inputs)) < KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_rounded_by_half_a_step_at_most(kind: type[PackedLinear]) -> None:
    plain = linear(256, 64)
    away = (kind(plain).dequantized_weight() - plain.weight).abs()
    groups = plain.weight.unflatten(1, (-1, 64))
    step = {
        Int8Linear: plain.weight.abs().amax(1, keepdim=True) / 127,
        Int4Linear: ((groups.amax(-1) - groups.amin(-1)) / 15).repeat_interleave(64, 1),
    }[kind]
    slack = 1e-6 if kind is Int8Linear else float(plain.weight.abs().max()) / 64  # scales in bf16
    assert bool((away <= step / 2 + slack).all())
    assert bool((away > 0).any())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_packing_changes_nothing_of_the_layer_that_it_reads(
    kind: type[PackedLinear], dtype: torch.dtype
) -> None:
    plain = linear(64, 32).to(dtype)
    before = copy.deepcopy(plain.state_dict())
    outputs = kind(plain)(torch.ones(1, 64, dtype=dtype))
    assert outputs.dtype == dtype
    assert all(torch.equal(plain.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_gives_the_same_numbers_in_every_batch(dtype: torch.dtype) -> None:
    layer, rows = Int8Linear(linear(192, 96)), torch.randn(33, 192).to(dtype)
    rows[5] *= 1000
    together = layer(rows)
    assert all(torch.equal(layer(rows[at : at + 1])[0], together[at]) for at in range(33))


def test_small_values_beside_an_outlier_are_kept_in_8_bits() -> None:
    layer, inputs = Int8Linear(linear(256, 64, bias=False)), torch.randn(1, 256)
    inputs[0, 7] = 300
    weight = layer.dequantized_weight()
    rest = layer(inputs) - inputs[0, 7] * weight[:, 7]
    inputs[0, 7] = 0
    assert error(rest, by_hand(layer, inputs)) < 0.02  # one digit of 8 bits: more than .5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind: type[PackedLinear], value: float) -> None:
    inputs = torch.ones(2, 64)
    inputs[1, 3] = value
    outputs = kind(linear(64, 32))(inputs)
    assert bool(outputs[0].isfinite().all())
    assert not bool(outputs[1].isfinite().any())


def test_zeros_give_the_bias() -> None:
    layer = Int8Linear(linear(64, 32))
    assert torch.equal(layer(torch.zeros(1, 64))[0], layer.bias)


def test_layers_that_share_their_last_input_see_that_it_was_changed() -> None:
    shared, inputs = LastInput(), torch.randn(3, 64)
    first, second = (Int8Linear(linear(64, rows), shared) for rows in (32, 96))
    first(inputs)
    assert error(second(inputs), by_hand(second, inputs)) < 1e-3
    inputs.mul_(-2)
    assert error(second(inputs), by_hand(second, inputs)) < 1e-3


@pytest.mark.parametrize(
    ("bits", "abilities", "runs", "layers"),
    [
        ("8bit", (), True, "int8"),
        ("8bit", ("avx512_bf16",), True, "int8"),
        ("4bit", (), True, "int4"),
        ("4bit", ("avx512_bf16",), True, None),
    ],
)
def test_the_form_of_packed_layers_is_chosen_by_bits_and_processor(
    bits: str, abilities: tuple[str, ...], runs: bool, layers: str | None
) -> None:
    chosen = choose_packing(bits, CPU, abilities=abilities, runs=lambda _: runs)
    assert chosen is not None
    assert chosen.layers == layers
    assert "output layer" in chosen.reason


def test_nothing_is_packed_for_a_gpu_or_by_a_torch_without_kernels() -> None:
    def choose(device: str, runs: Callable[[object], bool]) -> Packing | None:
        return choose_packing("8bit", torch.device(device), abilities=(), runs=runs)

    assert choose("cuda", lambda _: True) is None
    assert choose("cpu", lambda _: False) is None
    assert choose_packing(None, CPU, abilities=(), runs=lambda _: True) is None


# Within a model.


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    root = tmp_path_factory.mktemp("packed")

    def build(family: str, *, tied: bool) -> Path:
        folder = root / f"{family}-{tied}"
        if not folder.exists():
            build_tiny_model(folder, family)
            if not tied:
                _untie(folder)
        return folder

    return build


def _untie(folder: Path) -> None:
    """Give a checkpoint an output layer of its own."""
    weights = load_file(folder / "model.safetensors")
    table = next(weight for name, weight in weights.items() if "embed_tokens" in name)
    weights["lm_head.weight"] = table.flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = folder / "config.json"
    text = config.read_text().replace('"tie_word_embeddings": true', '"tie_word_embeddings": false')
    config.write_text(text)


class ByHand(torch.nn.Module):
    """A linear layer with the matrix of a packed one, computed in fp32 by torch alone.

    In 4 bits inputs and outputs are rounded to bf16, as mixtures take other experts otherwise.
    """

    def __init__(self, packed: PackedLinear) -> None:
        super().__init__()
        self.weight, self.bias = packed.dequantized_weight(), packed.bias
        self.rounds = isinstance(packed, Int4Linear)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.rounds:
            return torch.nn.functional.linear(inputs, self.weight, self.bias)
        product = torch.nn.functional.linear(inputs.bfloat16().float(), self.weight).bfloat16()
        return (product if self.bias is None else product + self.bias.bfloat16()).float()


def logits_of(model: Any) -> torch.Tensor:
    ids = torch.tensor([[(7 * at) % 250 for at in range(20)]])
    with torch.inference_mode():
        return model(input_ids=ids, mm_token_type_ids=torch.zeros_like(ids)).logits


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_equals_transformers_with_the_dequantised_matrices(
    folders: Callable[..., Path], family: str, bits: str, tied: bool
) -> None:
    import transformers

    model_class = getattr(transformers, FAMILIES[family].model_class)
    folder = folders(family, tied=tied)
    ours, theirs = (model_class.from_pretrained(folder).float().eval() for _ in range(2))
    form = Packing("int8" if bits == "8bit" else "int4", "a test")
    pack_model(ours, form, FAMILIES[family], VISION_TOWER)
    packed = [name for name, each in ours.named_modules() if isinstance(each, PackedLinear)]
    assert "lm_head" in packed
    assert not [name for name in packed if "visual" in name]
    assert len(packed) > 4 * 4
    for name in packed:
        theirs.set_submodule(name, ByHand(ours.get_submodule(name)))
    expected = logits_of(theirs)
    assert error(logits_of(ours), expected.double()) < (5e-3 if bits == "8bit" else 3e-2)
    embedded = model_class.from_pretrained(folder).get_input_embeddings().weight
    assert torch.equal(ours.get_input_embeddings().weight, embedded)


@pytest.fixture(scope="module", params=["8bit", "4bit"])
def chat(request: pytest.FixtureRequest, folders: Callable[..., Path]) -> VisionChat:
    folder = folders("qwen2_vl", tied=True)
    return VisionChat.from_pretrained(folder, quantization=request.param, device="cpu")


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_weights_are_packed_as_they_are_in_the_file_and_the_rest_is_converted(
    folders: Callable[..., Path], bits: Any
) -> None:
    folder = folders("qwen2_vl", tied=True)  # its file is in fp32
    packed, plain = (
        VisionChat.from_pretrained(folder, device="cpu", **how)._backend.model  # type: ignore[attr-defined]
        for how in ({"quantization": bits}, {"dtype": "bfloat16"})
    )
    name = "model.language_model.layers.0.self_attn.q_proj"
    if isinstance(packed.get_submodule(name), PackedLinear):
        stored = load_file(folder / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
        again = type(packed.get_submodule(name))(_with_weight(stored))
        assert torch.equal(
            packed.get_submodule(name).dequantized_weight(), again.dequantized_weight()
        )
    rest = dict(plain.named_parameters())
    for name, parameter in packed.named_parameters():
        if parameter.is_floating_point():
            assert parameter.dtype == torch.bfloat16
            assert torch.equal(parameter, rest[name])


def _with_weight(weight: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def test_the_report_tells_the_form_of_weights_and_output_layer(chat: VisionChat) -> None:
    assert "output layer in int8 by FBGEMM" in chat.report()["quantization_reason"] or (
        "layers and output layer in int8" in chat.report()["quantization_reason"]
    )


def test_a_batch_of_a_packed_model_gives_the_answers_of_single_calls(
    folders: Callable[..., Path],
) -> None:
    chat = VisionChat.from_pretrained(
        folders("qwen2_vl", tied=True), quantization="8bit", device="cpu", dtype="float32"
    )
    asked = [("What is it?", picture(56 + 28 * at, 84, at)) for at in range(4)]
    sampling = Sampling(max_new_tokens=12)
    alone = [ids_of(chat.ask(text, image, sampling=sampling)) for text, image in asked]
    chat.clear_cache()
    together = chat.ask_many(
        [Request.about(text, image) for text, image in asked], sampling=sampling
    )
    assert [ids_of(reply) for reply in together] == alone


def test_a_constraint_and_alternatives_work_with_a_packed_output_layer(chat: VisionChat) -> None:
    reply = chat.ask(
        "Is it red?",
        picture(56, 84),
        constraint=Constraint.from_choices(["yes", "no"]),
        sampling=Sampling(max_new_tokens=6, num_alternatives=3),
    )
    assert reply.text in ("yes", "no")
    assert all(len(token.alternatives) == 3 for token in reply.tokens if not token.is_hidden)
    assert all(token.logprob <= 0 for token in reply.tokens)
