"""The numbers of a model from which its working memory follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VisionShape:
    """The vision encoder.

    Attributes:
        width: values of one patch between layers.
        intermediate_width: values of one patch within an MLP.
        num_heads: attention heads.
        patch_values: numbers of one patch in `pixel_values`: channels x frames x side x side.
        output_width: values of one visual token, as the language model takes it.
        mlp_copies: tensors of `intermediate_width` that an MLP holds at once: three where it is
            gated or its activation is computed in steps (quick_gelu), two else.
        learns_positions: whether it adds learned positions, interpolated to each picture.
        deepstack_layers: layers whose features go to layers of the language model.
    """

    width: int
    intermediate_width: int
    num_heads: int
    patch_values: int
    output_width: int
    mlp_copies: int = 2
    learns_positions: bool = False
    deepstack_layers: int = 0


@dataclass(frozen=True, kw_only=True)
class LinearAttentionShape:
    """The layers with a recurrent state (gated delta rule) of Qwen3.5 and later.

    Attributes:
        num_layers: how many there are.
        num_key_heads, key_width: heads of queries and keys, and values of one.
        num_value_heads, value_width: heads of values, and values of one.
        kernel_tokens: tokens that its short convolution sees.
    """

    num_layers: int
    num_key_heads: int
    key_width: int
    num_value_heads: int
    value_width: int
    kernel_tokens: int

    @property
    def mixed_width(self) -> int:
        """Values of queries, keys and values of one token together."""
        return 2 * self.num_key_heads * self.key_width + self.num_value_heads * self.value_width

    @property
    def state_values(self) -> int:
        """Values of the recurrent state of one layer."""
        return self.num_value_heads * self.key_width * self.value_width


@dataclass(frozen=True, kw_only=True)
class ExpertsShape:
    """A mixture of experts.

    Attributes:
        per_token: experts that each token goes to.
        intermediate_width: values of one token within one expert.
        shared_width: the same within the expert that sees all tokens; 0 if there is none.
    """

    per_token: int
    intermediate_width: int
    shared_width: int = 0


@dataclass(frozen=True, kw_only=True)
class IndexerShape:
    """What picks the tokens that a layer of `indexed_attention` attends to (Qwen4).

    Attributes:
        key_width: values of one token that it keeps.
        picked_tokens: how many tokens it picks at most.
    """

    key_width: int
    picked_tokens: int


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """The language model.

    Attributes:
        width: values of one token between layers.
        intermediate_width: values of one token within an MLP; 0 where all MLPs are `experts`.
        num_heads, num_key_value_heads, head_width: attention heads, and values of one.
        rotary_width: how many values of a head are rotated by their position.
        num_attention_layers: layers that keep keys and values of every token.
        vocabulary: entries of the output layer.
        normalizes_queries: whether queries are normalised, in fp32.
        gates_attention: whether a gate of the width of the queries goes with them.
        num_streams: residual streams side by side; 1 but for Qwen4.
        experts, linear, indexer: what only some families have.
    """

    width: int
    intermediate_width: int
    num_heads: int
    num_key_value_heads: int
    head_width: int
    rotary_width: int
    num_attention_layers: int
    vocabulary: int
    normalizes_queries: bool = False
    gates_attention: bool = False
    num_streams: int = 1
    experts: ExpertsShape | None = None
    linear: LinearAttentionShape | None = None
    indexer: IndexerShape | None = None

    @property
    def query_width(self) -> int:
        """Values of the queries of one token."""
        return self.num_heads * self.head_width

    @property
    def key_width(self) -> int:
        """Values of the keys of one token in one layer."""
        return self.num_key_value_heads * self.head_width


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A loaded model, as far as its working memory depends on it.

    Attributes:
        vision, text: its two halves.
        value_bytes: size of one number of the type that it computes in.
        shares_host_memory: whether it runs in the memory in which pictures are prepared, as on a
            processor, and not on a GPU of its own memory.
        holds_scores: whether attention makes a matrix of all scores ("eager"), which the fused
            implementations do not.
        copies_convolved: whether the convolution that embeds patches copies them first, as on a
            processor whose instructions oneDNN cannot use for the model's type.
    """

    vision: VisionShape
    text: TextShape
    value_bytes: int
    shares_host_memory: bool = True
    holds_scores: bool = False
    copies_convolved: bool = False
