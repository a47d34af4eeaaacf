"""The command line, `qwenvl` and `python -m qwenvl_kit`: one file for a command or two.

`program` puts the commands together. Importing the room loads neither torch nor the rooms that do
the work: each command loads them when it runs.
"""
