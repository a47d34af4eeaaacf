"""Tools: functions that a model may call, and the parsers of its calls."""
