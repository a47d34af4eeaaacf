"""The page that benchmarks open with: what limits speed, what was reached here, what to expect.

`weights.py` measures; the rest is computed from published shapes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping

from qwenvl_kit.checkpoints.memory import predict_weight_bytes
from tests.benchmarks import limits
from tests.benchmarks.measuring import row, table
from tests.benchmarks.sections import weights
from tests.docs import hardware

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "8bit": "8-bit", "4bit": "4-bit"}
PICTURE_TOKENS, TEXT_TOKENS = 1024, 100


def section() -> list[str]:
    """Words, figures measured here, and figures computed."""
    return page(weights.measure_all())


def page(measured: weights.Measured) -> list[str]:
    """The page, for what was measured."""
    shares = measured.shares
    return [
        "Two things limit the speed of a vision-language model.",
        "",
        "- **Writing the answer** is limited by **memory bandwidth**. For each token, the machine "
        "reads all weights of the language model once. So one answer cannot be faster than "
        "`tokens a second = bandwidth / bytes of the weights`. A second answer at the same time "
        "shares the reading: several answers together cost little more than one, until arithmetic "
        "is the limit.",
        "- **Reading the question** (text, pictures, frames) is limited by **arithmetic**. It "
        "takes at least `seconds = operations / operations a second`, with `operations = 2 x "
        "parameters x tokens`, and more for attention in long prompts. Pictures are read twice: by "
        "the vision encoder, then by the language model. Half the visual tokens "
        "([budgets](guide/budgets.md)) take half the time or less.",
        "",
        "So fewer bits a weight make answers faster and save memory; smaller pictures make the "
        "first token come sooner; and what was read before is not read again "
        "([reuse](guide/reuse.md)).",
        "",
        *_advice(),
        "",
        "### Measured here",
        "",
        f"On {measured.where}. Copying large tensors moves "
        f"**{measured.bandwidth / 1e9:.1f} GB/s** (read and written bytes together). Products of "
        f"large matrices reach **{measured.flops['float32'] / 1e9:.0f} GFLOP/s** in fp32 and "
        f"{measured.flops['bfloat16'] / 1e9:.0f} in bf16. A random Qwen2-VL of "
        f"{measured.millions:.0f}M parameters with 151,936 tokens writes answers of "
        f"{weights.CONTEXT} tokens of context. The share is `(bytes of the weights + keys and "
        "values) / time of a step / bandwidth` for one row.",
        "",
        *table(
            (
                "weights",
                "bytes read a step",
                *(f"{n} rows" for n in weights.ROWS),
                "tokens a second, 1 row",
                "share of bandwidth",
                "same tokens as fp32",
            ),
            _step_rows(measured),
        ),
        "",
        "The time is that of one step, in which each row gets a token: median of "
        f"{measured.num_rounds} rounds in turn, with the smallest and the largest. Against fp32 in "
        "the same round, above 1 is faster:",
        "",
        *table(("weights", *(f"{n} rows" for n in weights.ROWS)), _against_rows(measured)),
        "",
        f"Reading a text of {measured.prompt_tokens:,} tokens, and a picture of "
        f"{measured.picture_tokens:,} visual tokens by the vision encoder:",
        "",
        *table(
            ("weights", "text", "tokens a second", "share of arithmetic", "picture"),
            _reading_rows(measured),
        ),
        "",
        "### Computed: how fast an answer can be written",
        "",
        "By `bandwidth / bytes of the language model's weights`, for one answer at a short prompt. "
        "These are **limits, not measurements**: of its limit the kit reached "
        f"{_told_shares(shares)} here (the table above), and the rest is arithmetic, attention and "
        "Python. A machine of yours: take its bandwidth, or measure it by a copy.",
        "",
        *table(("machine", "bandwidth", "arithmetic", "figures from"), _machine_rows()),
        "",
        *table(
            ("checkpoint", "weights", *(machine.name for machine in limits.MACHINES)), _limit_rows()
        ),
        "",
        "`-`: the weights alone do not fit. Tokens a second of one answer. Answers that "
        "are written together have more in sum.",
        "",
        "### Computed: how long before the first token",
        "",
        f"A picture of {PICTURE_TOKENS:,} visual tokens and {TEXT_TOKENS} tokens of text, in bf16: "
        "`2 x parameters x tokens` and attention, for vision encoder and language model. The times "
        "are **limits** again, at all of the machine's arithmetic"
        f"; products of large matrices reached {_told_rate(measured)} here.",
        "",
        *table(
            ("checkpoint", "operations", *(machine.name for machine in limits.MACHINES)),
            _first_token_rows(),
        ),
        "",
        "### Computed: memory",
        "",
        "Weights as the kit's own arithmetic counts them (`inspect`), and keys and values of 1,000 "
        "tokens in bf16. Beside them a request needs some hundreds of megabytes while it is read; "
        "[`plan`](guide/budgets.md#plans) says how much. README has the longest prompts by card.",
        "",
        *table(("checkpoint", *PRECISIONS.values(), "1,000 tokens"), _memory_rows()),
    ]


def _advice() -> Iterator[str]:
    """A line for each kind of machine, by the formulas above."""
    small, large = "Qwen2-VL-2B-Instruct", "Qwen3-VL-8B-Instruct"
    yield (
        "**Limits by these formulas** (computed, not measured; the tables below have the machines' "
        "figures and say what share was reached here):"
    )
    yield ""
    for machine in limits.MACHINES:
        name, precision = (small, "4bit") if machine.flops < 1e12 else (large, "bfloat16")
        rate = limits.most_tokens_per_second(machine.bandwidth, decode_bytes(name, precision))
        whole, quarter = (
            first_token_flops(name, tokens) / machine.flops
            for tokens in (PICTURE_TOKENS, PICTURE_TOKENS // 4)
        )
        yield (
            f"- {machine.name}: {name} in {PRECISIONS[precision]} writes at most {rate:.0f} tokens "
            f"a second; a picture of {PICTURE_TOKENS:,} visual tokens takes at least "
            f"{_seconds(whole)} before the first token, one of {PICTURE_TOKENS // 4} "
            f"{_seconds(quarter)}."
        )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _step_rows(measured: weights.Measured) -> Iterator[str]:
    for name, found in measured.precisions.items():
        one = statistics.median(found.steps[1].values)
        yield row(
            f"{name} ({found.dtype})",
            f"{found.step_bytes / 1e6:.0f} MB",
            *(found.steps[rows].told() for rows in weights.ROWS),
            f"{1 / one:.1f}",
            f"**{measured.shares[name]:.0%}**",
            found.agreement,
        )


def _against_rows(measured: weights.Measured) -> Iterator[str]:
    for name in measured.precisions:
        if name != "fp32":
            yield row(name, *(measured.against_fp32(name, rows) for rows in weights.ROWS))


def _reading_rows(measured: weights.Measured) -> Iterator[str]:
    for name, found in measured.precisions.items():
        seconds = statistics.median(found.prefill.values)
        rate = measured.flops[found.dtype]
        yield row(
            name,
            found.prefill.told(),
            f"{measured.prompt_tokens / seconds:.0f}",
            f"{found.prefill_flops / seconds / rate:.0%}",
            found.vision.told(),
        )


def _told_shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} in {name}" for name, share in shares.items())


def _told_rate(measured: weights.Measured) -> str:
    return f"{measured.flops['float32'] / 1e9:.0f} GFLOP/s in fp32"


def _machine_rows() -> Iterator[str]:
    for machine in limits.MACHINES:
        yield row(
            machine.name,
            f"{machine.bandwidth / 1e9:,.0f} GB/s",
            f"{machine.flops / 1e12:.2g} TFLOP/s"
            if machine.flops < 1e13
            else f"{machine.flops / 1e12:.0f} TFLOP/s",
            machine.source,
        )


def _limit_rows() -> Iterator[str]:
    for name in hardware.MODELS:
        for precision in ("bfloat16", "4bit"):
            size, read = _weight_bytes(name, precision), decode_bytes(name, precision)
            cells = [
                f"{limits.most_tokens_per_second(machine.bandwidth, read):.0f}"
                if size < machine.memory_bytes
                else "-"
                for machine in limits.MACHINES
            ]
            yield row(name, f"{PRECISIONS[precision]}, {read / 1e9:.1f} GB read", *cells)


def _first_token_rows() -> Iterator[str]:
    for name in hardware.MODELS:
        flops = first_token_flops(name)
        fits = _weight_bytes(name, "bfloat16")
        cells = [
            _seconds(flops / machine.flops) if fits < machine.memory_bytes else "-"
            for machine in limits.MACHINES
        ]
        yield row(name, f"{flops / 1e12:.1f} TFLOP", *cells)


def _memory_rows() -> Iterator[str]:
    for name, model in hardware.MODELS.items():
        layers = _attention_layers(model)
        text = model.text
        head = text.get("head_dim", text["hidden_size"] // text["num_attention_heads"])
        token = limits.cache_bytes_per_token(layers, text["num_key_value_heads"], head, 2)
        sizes = (f"{_weight_bytes(name, each) / 1e9:.1f} GB" for each in PRECISIONS)
        yield row(name, *sizes, f"{token * 1000 / 1e6:.0f} MB")


def _attention_layers(model: hardware.Published) -> int:
    kinds = model.text.get("layer_types")
    return kinds.count("full_attention") if kinds else int(model.text["num_hidden_layers"])


def _weight_bytes(name: str, precision: str) -> int:
    model = hardware.measured(name)
    return predict_weight_bytes(model.tensors, model.settings, precision)  # type: ignore[arg-type]


def decode_bytes(name: str, precision: str) -> int:
    """The bytes of weights that a step of decoding reads: all but the vision encoder's.

    An embedding that is not the output layer too is left out: a step reads one row of it.
    """
    model = hardware.measured(name)
    held = sum(
        math.prod(tensor.shape)
        for tensor in model.tensors
        if "visual" in tensor.name
        or ("embed_tokens" in tensor.name and not model.settings.config["tie_word_embeddings"])
    )
    return _weight_bytes(name, precision) - held * (4 if precision == "float32" else 2)


def first_token_flops(name: str, picture_tokens: int = PICTURE_TOKENS) -> float:
    """The operations of seeing a picture and reading it with its text.

    The output layer is computed for the last token alone, and the embedding not at all.
    """
    published, tensors = hardware.MODELS[name], hardware.measured(name).tensors
    vision = sum(math.prod(t.shape) for t in tensors if "visual" in t.name)
    layers = sum(
        math.prod(t.shape)
        for t in tensors
        if "visual" not in t.name and "embed_tokens" not in t.name and "lm_head" not in t.name
    )
    text, seen = published.text, published.vision
    head = text["hidden_size"] * text["vocab_size"]
    patches = picture_tokens * seen["spatial_merge_size"] ** 2
    width = text["num_attention_heads"] * text.get(
        "head_dim", text["hidden_size"] // text["num_attention_heads"]
    )
    return (
        limits.seeing_flops(
            vision, patches, seen["depth"], seen.get("embed_dim", seen["hidden_size"])
        )
        + limits.reading_flops(
            layers, picture_tokens + TEXT_TOKENS, _attention_layers(published), width
        )
        + 2 * head
    )
