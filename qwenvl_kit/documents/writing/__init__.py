"""The forms in which documents are passed on: Markdown, HTML, JSON, those of other libraries."""
