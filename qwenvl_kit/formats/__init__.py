"""Formats: message dicts of Qwen's guides, OpenAI, transformers and other libraries."""
