"""The parts of a message in the dialects of other libraries."""
