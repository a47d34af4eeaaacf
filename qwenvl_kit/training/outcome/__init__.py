"""The outcome of a training: its losses, its record, and answers before and after."""
