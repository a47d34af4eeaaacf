"""The only room that opens files and decodes pictures."""
