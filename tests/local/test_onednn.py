"""Large fp32 products by oneDNN: the same values, where a measurement says that it pays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import Message, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.loading import onednn
from qwenvl_kit.backends.local.loading.onednn import (
    LARGE_VALUES,
    OneDnnLinear,
    is_faster_here,
    multiply,
    use_onednn,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import CONVERSATIONS, generate_by_hand, ids_of, kit_batch


def _has_onednn() -> bool:
    try:
        multiply(torch.ones(1, 8), torch.ones(8, 8), None)
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return True


pytestmark = pytest.mark.skipif(not _has_onednn(), reason="this build of torch has no oneDNN")


def _model(rows: int = 1024, columns: int = 512, *, bias: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(columns, rows, bias=bias), torch.nn.Linear(8, 8))


@pytest.mark.parametrize("rows", [1, 2, 8, 33])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_that_of_a_linear_layer(rows: int, bias: bool) -> None:
    model, inputs = _model(bias=bias), torch.randn(2, rows, 512)
    exact = torch.nn.Linear.forward(model[0].double(), inputs.double()).detach()
    model.float()
    use_onednn(model, is_faster=lambda: True)
    with torch.inference_mode():
        torch.testing.assert_close(model[0](inputs), exact.float(), atol=2e-6, rtol=2e-5)
        assert model[0](inputs).shape == (2, rows, 1024)
        assert model[0](inputs.mT.contiguous().mT).shape == (2, rows, 1024)


def test_large_layers_alone_are_changed_and_keep_their_weights() -> None:
    model = _model()
    weight = model[0].weight
    assert weight.numel() == LARGE_VALUES
    said = use_onednn(model, is_faster=lambda: True)
    assert said == "large fp32 products by oneDNN (1 layers), measured to be faster than MKL"
    assert type(model[0]) is OneDnnLinear
    assert model[0].weight is weight
    assert type(model[1]) is torch.nn.Linear


def test_nothing_is_changed_where_it_does_not_pay_or_nothing_is_large_or_in_fp32() -> None:
    for model in (_model(), _model(8, 8), _model().bfloat16()):
        pays = model[0].weight.dtype != torch.float32 or model[0].weight.numel() < LARGE_VALUES
        assert use_onednn(model, is_faster=lambda pays=pays: pays) is None
        assert type(model[0]) is torch.nn.Linear


def test_small_models_are_not_measured() -> None:
    def measured() -> bool:
        raise AssertionError

    assert use_onednn(_model(8, 8), is_faster=measured) is None


def test_gradients_go_through_a_changed_layer() -> None:
    model, inputs = _model(), torch.randn(3, 512, requires_grad=True)
    model[0](inputs).sum().backward()
    expected = inputs.grad
    inputs.grad = None
    use_onednn(model, is_faster=lambda: True)
    model[0](inputs).sum().backward()
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, expected)


def test_a_changed_layer_that_is_moved_to_another_dtype_still_computes() -> None:
    model = _model()
    use_onednn(model, is_faster=lambda: True)
    with torch.inference_mode():
        assert model.bfloat16()[0](torch.randn(3, 512).bfloat16()).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_changed_layer_is_traced_and_cast_as_a_linear_layer() -> None:
    model, inputs = _model()[:1], torch.randn(3, 512)
    use_onednn(model, is_faster=lambda: True)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(model, (inputs,))(inputs), model(inputs))
        with torch.autocast("cpu", torch.bfloat16):
            assert model(inputs).dtype == torch.bfloat16


def test_the_measurement_gives_an_answer_and_leaves_the_seed_alone() -> None:
    is_faster_here.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert is_faster_here() in (True, False)
    assert torch.equal(torch.rand(2), expected)


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LocalBackend, LocalBackend]:
    """The same weights, with oneDNN for every layer and with torch's own products."""
    assert request.param in FAMILIES
    folder: Path = build_tiny_model(tmp_path_factory.mktemp("onednn") / "model", request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "LARGE_VALUES", 1)
        patch.setattr(onednn, "is_faster_here", lambda: True)
        changed = load_backend(folder)
    assert isinstance(changed.model.get_output_embeddings(), OneDnnLinear)
    return changed, load_backend(folder)


@pytest.mark.parametrize("name", list(CONVERSATIONS))
def test_answers_are_those_of_transformers(
    both: tuple[LocalBackend, LocalBackend], name: str
) -> None:
    conversation: list[Message] = list(CONVERSATIONS[name])
    changed, plain = both
    reply = VisionChat(changed).ask(conversation, sampling=Sampling(max_new_tokens=8))
    inputs = kit_batch(VisionChat(plain), [conversation])
    out, tokens = generate_by_hand(plain, inputs, max_new_tokens=8)
    assert ids_of(reply) == tokens[0].tolist()
    first = torch.log_softmax(out.logits[0][0], dim=-1)[tokens[0, 0]]
    assert reply.tokens is not None
    assert reply.tokens[0].logprob == pytest.approx(float(first), abs=1e-4)


def test_the_report_says_so(both: tuple[LocalBackend, LocalBackend]) -> None:
    changed, plain = (VisionChat(backend).report() for backend in both)
    assert "by oneDNN" in changed["products"]
    assert "products" not in plain
