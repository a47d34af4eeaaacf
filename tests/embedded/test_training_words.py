"""The embedded model's tokenizer, and what a run keeps of the weights that it begins with."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

if not hasattr(torch.optim, "Muon"):
    pytest.skip("the training program needs torch >= 2.9", allow_module_level=True)

from tokenizers import Tokenizer
from transformers import Qwen2VLForConditionalGeneration

from examples.embedded_model import checkpoint, vocabulary
from examples.embedded_model.batches import Batcher
from examples.embedded_model.drawing.canvas import Grid
from examples.embedded_model.drawing.documents import foods, words
from examples.embedded_model.network import Size, branch_bias
from examples.embedded_model.samples import KINDS, Options, make_sample
from examples.embedded_model.tokenizer import ROWS, answer_ids, build_tokenizer
from qwenvl_kit.embedded import MODEL_FOLDER

WORDS = build_tokenizer()


def test_every_word_of_the_questions_is_in_the_vocabulary_and_rows_are_spare() -> None:
    assert vocabulary.missing() == []
    assert WORDS.get_vocab_size() <= ROWS
    assert len(set(words("chinese.txt")) | {food["chinese"] for food in foods()}) >= 300


@pytest.mark.parametrize("kind", KINDS)
def test_questions_and_answers_come_back_letter_by_letter(kind: str) -> None:
    options = Options(small_fonts=True, outliers=0.0)
    for seed in range(20):
        sample = make_sample(random.Random(seed), kind, Grid(6, 8), options)
        texts = [text for each in sample.questions for text in (each.text, each.answer)]
        texts += [part for turn in sample.script for part in turn.parts if isinstance(part, str)]
        for text in texts:
            for ids in (WORDS.encode(text).ids, answer_ids(WORDS, text)):
                assert WORDS.decode(ids, skip_special_tokens=False) == text


def test_coordinates_in_lists_and_comments_are_one_token_each() -> None:
    for text, count in (
        ('[{"bbox_2d": [120, 340, 560, 780], "label": "circle"}]', 4),
        ('{"point_2d": [20, 1000]}', 2),
        ("<!-- Table (0, 20, 40, 1000) -->", 4),
    ):
        pieces = [WORDS.decode([token]) for token in answer_ids(WORDS, text)]
        assert sum(piece.strip("[(, ").isdigit() and len(piece) > 1 for piece in pieces) == count
    plain = '{"quantity": 20, "price": 40}'
    assert answer_ids(WORDS, plain) == WORDS.encode(plain).ids


@pytest.fixture(scope="module")
def warmed() -> checkpoint.Network:
    network = checkpoint.new_network(Size(), dtype=torch.float32)
    checkpoint.warm_start(network, MODEL_FOLDER)
    return network


def test_a_run_begins_as_the_weights_that_it_is_given_with_the_frequencies_they_had(
    warmed: checkpoint.Network,
) -> None:
    old: Tokenizer = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
    shipped = Qwen2VLForConditionalGeneration.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    text = "<|im_start|>user\nHow many red circles are there?<|im_end|>\n<|im_start|>assistant\n"
    known = old.encode(text).ids
    new = [WORDS.token_to_id(old.id_to_token(token)) for token in known]
    rows = [WORDS.token_to_id(old.id_to_token(i)) for i in range(old.get_vocab_size())]
    with torch.no_grad():
        wanted = shipped(input_ids=torch.tensor([known])).logits[0, :, : len(rows)]
        warmed.former_share = 1.0
        hidden = _hidden(warmed, new)
        found = warmed.logits(hidden)[0][:, rows]
        warmed.former_share = 0.0
        after = warmed.logits(_hidden(warmed, new))[0][:, rows]
    if "mrope_section" in str(shipped.config) and warmed.former is None:
        pytest.skip("the weights that are shipped have the new frequencies")
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    assert (after - wanted).abs().max() > 0.1


def _hidden(network: checkpoint.Network, ids: list[int]) -> torch.Tensor:
    count = len(ids)
    positions = torch.arange(count).expand(3, 1, count)
    bias = branch_bias(torch.zeros(1, count, dtype=torch.long), network.dtype)
    blank = torch.zeros(1, 0, 256)
    nowhere = torch.zeros(1, 0, dtype=torch.long)
    return network.hidden(torch.tensor([ids]), blank, nowhere, positions, bias)


def test_a_conversation_with_tools_is_learnt_where_the_model_writes() -> None:
    sample = make_sample(random.Random(2), "zoom", Grid(6, 8), Options(small_fonts=True))
    batcher = Batcher(WORDS)
    row, tasks = batcher.row(random.Random(0), sample, [], plain=True)
    learnt = [token for token, target in zip(row.ids, row.targets, strict=True) if target >= 0]
    told = [part for turn in sample.script if turn.task for part in turn.parts]
    assert WORDS.decode(learnt, skip_special_tokens=False) == "".join(
        f"{t}<|im_end|>" for t in told
    )
    assert tasks[-1][1] == "zoomed"
    assert len(row.where) == 2 * sample.grid.cells


def test_the_size_that_ships_is_below_its_limit(tmp_path: Path) -> None:
    network = checkpoint.new_network(Size())
    weights = 2 * sum(parameter.numel() for parameter in network.model.parameters())
    path = tmp_path / "tokenizer.json"
    WORDS.save(str(path))
    assert weights + path.stat().st_size < 15_900_000
