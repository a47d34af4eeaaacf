"""Texts of a length and poems of a form: counted, checked, and asked for again."""
