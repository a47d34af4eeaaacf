"""Keys of other trainers' settings and their counterparts, as data.

The keys are those of ms-swift, LLaMA-Factory, TRL, and transformers' `TrainingArguments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

COUNTERPARTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("model_name_or_path", "model_id", "model_id_or_path"), "model"),
        **dict.fromkeys(("dataset", "train_file", "train_dataset"), "data"),
        **dict.fromkeys(("val_dataset", "split_dataset_ratio", "val_size"), "share"),
        "output_dir": "output",
        **dict.fromkeys(("num_train_epochs", "num_epochs"), "epochs"),
        "lr": "learning_rate",
        **dict.fromkeys(("per_device_train_batch_size", "batch_size"), "tokens_per_batch"),
        "gradient_accumulation_steps": "accumulation",
        **dict.fromkeys(("cutoff_len", "max_length", "max_seq_length"), "max_tokens"),
        **dict.fromkeys(("warmup_ratio", "warmup_steps"), "warmup"),
        "lr_scheduler_type": "schedule",
        **dict.fromkeys(("train_type", "tuner_type", "sft_type", "finetuning_type"), "kind"),
        **dict.fromkeys(("lora_rank", "lora_r", "r"), "rank"),
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        **dict.fromkeys(("lora_target", "target_modules", "freeze_vit", "freeze_llm"), "parts"),
        "use_dora": "dora",
        **dict.fromkeys(("load_in_4bit", "quantization_bit", "quant_bits"), "quantization"),
        "eval_steps": "evaluate_every",
        "save_steps": "save_every",
        "save_total_limit": "keep_checkpoints",
        "early_stopping_patience": "early_stopping",
        "resume_from_checkpoint": "resume",
        "dataloader_num_workers": "workers",
        **dict.fromkeys(("torch_dtype", "bf16", "fp16"), "dtype"),
        **dict.fromkeys(("attn_impl", "attn_implementation", "flash_attn"), "attention"),
        **dict.fromkeys(("max_pixels", "min_pixels", "image_max_pixels"), "budget"),
        **dict.fromkeys(("image_folder", "media_dir", "root_image_dir"), "media_root"),
    }
)
"""Counterparts by the key of another trainer. A key that a table knows is not looked up."""
