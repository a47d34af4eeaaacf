"""The loop: a network of its own is trained on sequences, by transformers' Trainer."""
