"""Integrations: parts of the kit for use inside other libraries, one module per library."""
