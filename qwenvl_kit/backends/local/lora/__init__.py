"""LoRA adapters of a loaded model."""
