"""From a model and a processor of transformers to what the engine runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwenvl_kit.backends.local.backend import LoadedModel
from qwenvl_kit.backends.local.engine.logits_processors import check_rules
from qwenvl_kit.backends.local.loading.quantization import measure_weight_bytes
from qwenvl_kit.backends.local.memory import shape_of
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.options import describe_sampling
from qwenvl_kit.processing.processor_config import damage_of, published_of


def assemble(
    checkpoint: Checkpoint,
    settings: Settings,
    network: Any,
    processor: Any,
    facts: Mapping[str, str],
) -> LoadedModel:
    """What the engine needs to know of a loaded checkpoint.

    Args:
        checkpoint: where its files are.
        settings: its config.json.
        network: the model of transformers.
        processor: its processor.
        facts: how it was loaded, in words.

    Raises:
        CheckpointError: its files do not fit together, or a setting cannot be used.
    """
    rest = published_of(checkpoint, settings, processor, network.config, network.generation_config)
    num_ids = int(network.config.get_text_config().vocab_size)
    check_rules(checkpoint.name, rest.generation.entries, num_ids, rest.end_ids)
    with damage_of(checkpoint.name):
        weight_bytes, shape = measure_weight_bytes(network), shape_of(network, processor)
    return LoadedModel(
        model=network,
        processor=processor,
        rules=replace(rest.rules, weight_bytes=weight_bytes, shape=shape),
        sampling=rest.sampling,
        end_ids=rest.end_ids,
        facts={
            **facts,
            "sampling": rest.generation.search or describe_sampling(rest.sampling),
            **rest.generation.facts(),
        },
        generation=rest.generation,
        resizer=rest.resizer,
    )
