"""What a checkpoint's own processor does: prompts, limits, pixels. Needs transformers."""
