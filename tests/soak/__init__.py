"""Many requests at once, with things going wrong all the time."""
