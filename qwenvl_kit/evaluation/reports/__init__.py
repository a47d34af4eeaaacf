"""Reports of evaluations: tables, CSV, JSON, and a page of HTML."""
