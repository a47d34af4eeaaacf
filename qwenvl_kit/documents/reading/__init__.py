"""Readers of the pages that models write: as HTML, as Markdown and as JSON, with places."""
