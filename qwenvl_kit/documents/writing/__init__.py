"""The forms in which documents are passed on: Markdown, HTML, JSON, and what other libraries take."""
