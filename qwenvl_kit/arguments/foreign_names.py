"""Argument names of other libraries and their counterparts in the kit, as data.

The names are those of the guides of Qwen's models, of transformers' `from_pretrained` and
`generate`, of optimum-intel, of OpenAI's client and of vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Cure:
    """The counterpart of an argument of another library.

    Attributes:
        targets: arguments of the kit; the first one that the call accepts is used.
            `sampling.top_p` is a field of the `Sampling` to pass, `*ImagePart` a picture after the
            question. Empty if the argument has no counterpart.
        note: the reason, for the message.
    """

    targets: tuple[str, ...] = ()
    note: str = ""


_SAMPLING = "settings of generation in a Sampling"
_BUDGET = "limits of pictures in a PixelBudget"
_MEDIA = "pictures and videos after the question"
_FILM = "settings of a video together with its source, as in VideoPart(..., fps=1)"
_SCORES = "no such switch: reply.tokens always holds the log-probability of each token"
_BEAMS = "no beam search; num_samples asks for more answers"
_FREQUENCY = "no such setting; presence_penalty and repetition_penalty work differently"
_SYSTEM = "[Message.system(...), Message.user(...)] in place of the question"
_TEXT = "reply.text has no special tokens, reply.raw_text has all of them"
_HUB = "the hub's own settings: HF_HOME and HF_TOKEN, or hf auth login"
_LOADS = "no such switch: weights come from safetensors files, with the built-in processor"
_CODE = "no such switch: code of a checkpoint is never run, the families are built in"
_PLACES = "no such switch: a model is placed on accelerators as a whole"
_TEMPLATE = "no such switch: the checkpoint's chat template renders prompts"
_VLLM = "settings of vLLM in VisionChat.from_vllm"
_STREAM = "chat.stream(...) for an answer piece by piece"


def _each(names: str, note: str, targets: tuple[str, ...] = ()) -> dict[str, Cure]:
    return dict.fromkeys(names.split(), Cure(targets, note))


def _sampled(names: str, field: str) -> dict[str, Cure]:
    return _each(names, _SAMPLING, (field, f"sampling.{field}"))


CURES: Mapping[str, Cure] = MappingProxyType(
    {
        # loading
        "torch_dtype": Cure(("dtype",)),
        "device_map": Cure(("device",)),
        "ov_config": Cure(("properties",)),
        "attn_implementation": Cure(("attention",)),
        "use_flash_attention_2": Cure(("attention",)),
        "load_in_4bit": Cure(("quantization",)),
        "load_in_8bit": Cure(("quantization",)),
        "quantization_config": Cure(("quantization",)),
        "local_files_only": Cure(("offline",)),
        **_each("peft_model_id adapter_path lora_path adapter_name_or_path", "", ("adapter",)),
        **_each(
            "pretrained_model_name_or_path model_name model_id model_path model_name_or_path",
            "",
            ("model",),
        ),
        "trust_remote_code": Cure(note=_CODE),
        **_each("cache_dir token hf_token use_auth_token proxies force_download", _HUB),
        **_each("use_fast low_cpu_mem_usage use_safetensors weights_only variant", _LOADS),
        **_each("subfolder ignore_mismatched_sizes output_loading_info gguf_file", _LOADS),
        **_each("max_memory offload_folder offload_state_dict tp_plan device_mesh", _PLACES),
        **_each(
            "tensor_parallel_size gpu_memory_utilization max_model_len limit_mm_per_prompt "
            "enforce_eager mm_processor_kwargs",
            _VLLM,
        ),
        # asking
        **_sampled("max_new_tokens", "max_new_tokens"),
        **_each(
            "max_tokens max_length max_completion_tokens max_output_tokens",
            _SAMPLING,
            ("max_new_tokens", "sampling.max_new_tokens", "budget.max_tokens"),
        ),
        **_sampled("temperature", "temperature"),
        **_sampled("top_p", "top_p"),
        **_sampled("top_k", "top_k"),
        **_sampled("min_p", "min_p"),
        **_sampled("repetition_penalty", "repetition_penalty"),
        **_sampled("presence_penalty", "presence_penalty"),
        **_sampled("seed random_seed", "seed"),
        **_sampled("stop stop_strings stop_sequences", "stop"),
        **_sampled("top_logprobs num_alternatives", "num_alternatives"),
        **_sampled("max_time max_seconds", "max_seconds"),
        **_sampled("prompt_lookup_num_tokens prompt_lookup_tokens", "prompt_lookup_tokens"),
        "do_sample": Cure(("sampling.temperature", "temperature"), _SAMPLING),
        **_each("num_beams early_stopping length_penalty num_beam_groups", _BEAMS),
        **_each("num_return_sequences n best_of", _BEAMS, ("num_samples",)),
        **_each("output_scores output_logits return_dict_in_generate logprobs", _SCORES),
        **_sampled("keep_special_tokens", "keep_special_tokens"),
        "skip_special_tokens": Cure(("keep_special_tokens", "sampling.keep_special_tokens"), _TEXT),
        "clean_up_tokenization_spaces": Cure(note=_TEXT),
        **_each(
            "min_new_tokens min_length", "no minimum length: the model ends its answer by itself"
        ),
        "frequency_penalty": Cure(note=_FREQUENCY),
        **_each("system system_prompt instructions", _SYSTEM),
        **_each("streamer stream", _STREAM),
        **_each("enable_thinking", "", ("thinking",)),
        **_each(
            "add_generation_prompt continue_final_message tokenize return_dict return_tensors "
            "padding padding_side chat_template use_cache pad_token_id eos_token_id do_resize",
            _TEMPLATE,
        ),
        **_each("image images pictures picture", _MEDIA, ("*ImagePart", "source")),
        **_each("video videos", _MEDIA, ("*VideoPart", "source")),
        **_each("max_images min_images num_images", "no such limit: a budget limits visual tokens"),
        "page": Cure(("pages",)),
        "prompt": Cure(("messages",)),
        "model": Cure(note="VisionChat.from_pretrained(model), which loads one"),
        **_each("messages conversation question query inputs", "", ("prompt",)),
        **_each("text content", "", ("prompt", "*text", "text", "parts")),
        **_each("prompts conversations batch", "", ("requests",)),
        **_each("response_format guided_json", "qwenvl_kit.tasks.extract for answers in a form"),
        # pictures and films
        "min_pixels": Cure(("budget.min_pixels",), _BUDGET),
        "max_pixels": Cure(("budget.max_pixels",), _BUDGET),
        "total_pixels": Cure(("budget.total_pixels",), _BUDGET),
        "min_tokens": Cure(("budget.min_tokens",), _BUDGET),
        "resized_height": Cure(("height_px",)),
        "resized_width": Cure(("width_px",)),
        "nframes": Cure(("num_frames",), _FILM),
        "num_frames": Cure(note=_FILM),
        "max_frames": Cure(note=_FILM),
        "min_frames": Cure(note=_FILM),
        "fps": Cure(note=_FILM),
        "sample_fps": Cure(("fps",), _FILM),
        "video_start": Cure(("start_seconds",), _FILM),
        "video_end": Cure(("end_seconds",), _FILM),
        **_each("raw_fps detail mime_type", "no such key: it changes nothing here"),
        **_each("path base64 image_url", "its source first", ("source",)),
        "url": Cure(("source", "base_url")),
        # servers
        **_each("api_base base api_url endpoint", "", ("base_url",)),
        "timeout": Cure(("timeout_seconds",)),
        "default_headers": Cure(("headers",)),
        **_each("organization project http_client", "headers=... for more that a server needs"),
    }
)
"""Counterparts by the name in the other library. A name that the call accepts is not looked up."""

NOT_OF_VLLM = frozenset(
    {
        *("device_map", "torch_dtype", "load_in_4bit", "load_in_8bit", "quantization_config"),
        *("attn_implementation", "min_pixels", "max_pixels", "use_fast", "low_cpu_mem_usage"),
        *("cache_dir", "token", "local_files_only"),
    }
)
"""Arguments of transformers that `from_vllm` would pass on to vLLM, which does not know them."""

OF_VLLM = ("dtype", "quantization")
"""Arguments of vLLM that some of them correspond to."""

SECRETS = frozenset({"api_key", "headers", "default_headers", "hf_token", "token", "proxies"})
"""Arguments whose values are never shown."""
