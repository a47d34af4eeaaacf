"""Statistics of evaluations: intervals, paired differences, and the number of items needed."""
