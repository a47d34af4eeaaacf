"""Speed, as ratios against what one would write without the kit; see `__main__`."""
