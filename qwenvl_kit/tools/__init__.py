"""Functions that a model may call: how they are told to it, and what it writes to call them."""
