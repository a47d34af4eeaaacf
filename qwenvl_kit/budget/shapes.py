"""Shapes of models: the dimensions from which the activation memory follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VisionShape:
    """The dimensions of the vision encoder.

    Attributes:
        width: hidden size: values of one patch between layers.
        intermediate_width: values of one patch within an MLP.
        num_heads: attention heads.
        patch_values: values of one patch in `pixel_values`: channels x frames x side x side.
        output_width: values of one visual token, the input of the language model.
        mlp_copies: tensors of `intermediate_width` that an MLP holds at once: three if it is gated
            or computes its activation in steps (quick_gelu), otherwise two.
        learns_positions: True if it adds learned positions, interpolated to each picture.
        deepstack_layers: number of layers whose features go to layers of the language model.
        mask_bytes: bytes for each pair of patches of one picture, where a mask tells which see
            each other; 0 where none is made.
    """

    width: int
    intermediate_width: int
    num_heads: int
    patch_values: int
    output_width: int
    mlp_copies: int = 2
    learns_positions: bool = False
    deepstack_layers: int = 0
    mask_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class LinearAttentionShape:
    """The dimensions of linear attention layers (gated delta rule), in Qwen3.5 and later.

    Attributes:
        num_layers: number of such layers.
        num_key_heads, key_width: heads of queries and keys, and the width of one.
        num_value_heads, value_width: heads of values, and the width of one.
        kernel_tokens: tokens that the short convolution sees.
    """

    num_layers: int
    num_key_heads: int
    key_width: int
    num_value_heads: int
    value_width: int
    kernel_tokens: int

    @property
    def mixed_width(self) -> int:
        """Numbers in the queries, keys and values of one token together."""
        return 2 * self.num_key_heads * self.key_width + self.num_value_heads * self.value_width

    @property
    def state_values(self) -> int:
        """Numbers in the recurrent state of one layer."""
        return self.num_value_heads * self.key_width * self.value_width


@dataclass(frozen=True, kw_only=True)
class ExpertsShape:
    """The dimensions of a mixture of experts.

    Attributes:
        per_token: experts that each token is routed to.
        intermediate_width: values of one token within one expert.
        shared_width: the same within the shared expert, which sees all tokens; 0 if there is none.
    """

    per_token: int
    intermediate_width: int
    shared_width: int = 0


@dataclass(frozen=True, kw_only=True)
class IndexerShape:
    """The dimensions of the indexer of Qwen4, which picks the tokens to attend to.

    Its layers are those of `indexed_attention`.

    Attributes:
        key_width: values that it keeps of each token.
        picked_tokens: most tokens that it picks.
    """

    key_width: int
    picked_tokens: int


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """The dimensions of the language model.

    Attributes:
        width: hidden size: values of one token between layers.
        intermediate_width: values of one token within an MLP; 0 if all MLPs are `experts`.
        num_heads, num_key_value_heads, head_width: attention heads, and the width of one.
        rotary_width: values of a head that rotary positions rotate.
        num_attention_layers: layers that keep keys and values of every token.
        vocabulary: entries of the output layer.
        normalizes_queries: True if queries are normalised, in fp32.
        gates_attention: True if there is a gate as wide as the queries.
        num_streams: parallel residual streams; 1 except in Qwen4.
        experts, linear, indexer: the parts that only some families have; None without them.
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
        """Width of the queries of one token."""
        return self.num_heads * self.head_width

    @property
    def key_width(self) -> int:
        """Width of the keys of one token in one layer."""
        return self.num_key_value_heads * self.head_width


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The dimensions of a loaded model on which its activation memory depends.

    Attributes:
        vision, text: the vision encoder and the language model.
        value_bytes: bytes of one number in the dtype of the model.
        shares_host_memory: True if the model runs in the memory in which pictures are prepared:
            on a CPU, not on a GPU with its own memory.
        holds_scores: True if attention holds the matrix of all scores ("eager"); fused
            implementations do not.
        copies_convolved: True if the convolution that embeds patches copies them first, as on a
            CPU without instructions that oneDNN can use for the dtype.
    """

    vision: VisionShape
    text: TextShape
    value_bytes: int
    shares_host_memory: bool = True
    holds_scores: bool = False
    copies_convolved: bool = False
