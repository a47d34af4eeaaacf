"""Places in pictures: from what a model writes to boxes and points in the user's own pixels."""
