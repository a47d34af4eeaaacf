"""The key-value cache: kept prompts, and keys and values that sequences share."""
