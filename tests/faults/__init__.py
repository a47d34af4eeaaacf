"""Every call of a dependency fails in turn."""
