"""Chat templates: their input, and rendering within bounds of time and memory. Needs no torch."""
