"""Arguments that a call does not take: told with the line to write instead."""
