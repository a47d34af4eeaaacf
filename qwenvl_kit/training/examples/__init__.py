"""Examples: conversations with answers to learn, read from training files of many forms."""
