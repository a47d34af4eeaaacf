"""What is minimised: the answers' loss, and the dense loss over what every cell shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor

from .batches import IGNORED, Batch
from .drawing.palette import SHAPES
from .drawing.typeset import SLOTS
from .network import Comparing, Looking, Network, branch_bias
from .pointing import TENTHS, comparison_loss, glance_loss
from .samples import UNKNOWN

# Most character slots are empty; full weight on them would drown the characters.
EMPTY_SLOT = 0.15
# Of the loss of where the model looks while it reads a name, and writes a box or what is printed.
GLANCE_SHARE = 0.25
# And of the loss of where each cell says that the box is which it is part of, and of where a
# position says that what it looks at is.
PLACE_SHARE = 0.3
TOLD_SHARE = 0.2
# Of the loss of whether an answer looks at the two names that it compares.
COMPARE_SHARE = 0.25
Score = tuple[str, bool]


def dense_loss(network: Network, visual: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """Loss of the dense heads over all cells, and the accuracy on cells that hold something."""
    labels = batch.labels.reshape(-1)
    if batch.printed:
        loss, right = _head_loss(network, visual, "characters", labels)
    else:
        loss, right = _shape_loss(network, visual, labels)
    full = labels > 0
    accuracy = right[full].float().mean().item() if full.any() else float("nan")
    return loss + _edge_loss(network, visual, batch), accuracy


def _shape_loss(network: Network, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of colour and kind by a head each, and where both are right.

    Class 0 is empty, 1 + colour * kinds + kind the rest; -100 stays unknown.
    """
    count = len(SHAPES)
    colours = torch.where(labels > 0, 1 + (labels - 1) // count, labels)
    kinds = torch.where(labels > 0, 1 + (labels - 1) % count, labels)
    loss, right = _head_loss(network, hidden, "colours", colours)
    more, also = _head_loss(network, hidden, "kinds", kinds)
    return loss + more, right & also


def _edge_loss(network: Network, visual: Tensor, batch: Batch) -> Tensor:
    """How far the edges of what a cell shows are from where they are said to be, in cells."""
    found = network.linear(network.dense["edges"], visual).float().reshape(-1, 4)
    wanted = batch.edges.reshape(-1, 4)
    there = ~wanted[:, 0].isnan()
    if not there.any():
        return found.sum() * 0.0
    return F.smooth_l1_loss(found[there], wanted[there], beta=0.1)


def _place_loss(network: Network, shown: Tensor, batch: Batch) -> Tensor:
    """How far boxes are from where each of their cells says they are, in tenths of the sides.

    The vision tower cannot say it: turned positions tell it how far cells are from one another, and
    not where the picture begins.
    """
    found = network.linear(network.dense["places"], shown).float()
    rows, columns = batch.grid.rows, batch.grid.columns
    at = torch.arange(rows * columns)
    middle = torch.stack([at % columns, at // columns] * 2, -1) + 0.5
    wanted = (batch.edges + middle) / torch.tensor([columns, rows] * 2) * TENTHS
    there = ~batch.edges[..., 0].isnan()
    if not there.any():
        return found.sum() * 0.0
    return F.smooth_l1_loss(found[there], wanted[there].float(), beta=0.1)


def _head_loss(
    network: Network, visual: Tensor, head: str, labels: Tensor
) -> tuple[Tensor, Tensor]:
    scores = network.linear(network.dense[head], visual).float()
    if head == "characters":
        scores = scores.view(*scores.shape[:-1], SLOTS, -1)
    scores = scores.reshape(-1, scores.shape[-1])
    weight = torch.ones(scores.shape[-1])
    if head == "characters":
        weight[0] = EMPTY_SLOT
    if not (labels != UNKNOWN).any():
        return scores.sum() * 0.0, labels == 0
    loss = F.cross_entropy(scores, labels, weight=weight, ignore_index=UNKNOWN)
    return loss, scores.argmax(-1) == labels


def answer_loss(network: Network, batch: Batch, visual: Tensor) -> tuple[Tensor, list[Score]]:
    """Weighted loss of the answers, and which of them are right to the last token.

    With every earlier token right, the best next token is what greedy decoding would write, so
    an answer right here is an exact match there.
    """
    rows = batch.ids.shape[0]
    tokens = visual.reshape(rows, -1, visual.shape[-1])
    bias = branch_bias(batch.segments, network.dtype)
    glances = batch.glances
    is_single = batch.edges.shape[0] == rows
    looking = Looking(glances.rows, glances.positions, batch.where) if is_single else None
    pairs = batch.comparisons
    comparing = Comparing(pairs.rows, pairs.positions) if len(pairs) else None
    hidden = network.hidden(
        batch.ids,
        tokens,
        batch.where,
        batch.positions,
        bias,
        looking=looking,
        comparing=comparing,
    )
    wanted = batch.targets[:, 1:] != IGNORED
    logits = network.logits(hidden[:, :-1][wanted])
    targets, weights = batch.targets[:, 1:][wanted], batch.weights[:, 1:][wanted]
    losses = F.cross_entropy(logits, targets, reduction="none")
    wrong = torch.zeros(wanted.shape, dtype=torch.bool)
    wrong[wanted] = logits.argmax(-1) != targets
    loss = (losses * weights).sum() / weights.sum()
    if looking is not None and looking.seen is not None and looking.shown is not None:
        if len(glances) and looking.told is not None:
            loss = loss + GLANCE_SHARE * glance_loss(looking.seen, glances)
            told = network.linear(network.dense["places"], looking.told).float()
            loss = loss + TOLD_SHARE * F.smooth_l1_loss(told, glances.corners, beta=0.1)
            if (glances.labels > 0).any():
                loss = loss + TOLD_SHARE * _shape_loss(network, looking.told, glances.labels)[0]
        loss = loss + PLACE_SHARE * _place_loss(network, looking.shown, batch)
    if comparing is not None and comparing.seen is not None:
        loss = loss + COMPARE_SHARE * comparison_loss(comparing.seen, pairs)
    return loss, _scores(batch, wrong)


def _scores(batch: Batch, wrong: Tensor) -> list[Score]:
    """Per branch: its last task, and whether all its answers are right."""
    segments = batch.segments[:, 1:]
    most = int(segments.max()) + 1
    bad = torch.zeros(segments.shape[0], most, dtype=torch.long)
    bad.scatter_add_(1, segments.clamp(min=0), wrong.long())
    return [(task, not bad[row, segment]) for row, segment, task in batch.tasks]
