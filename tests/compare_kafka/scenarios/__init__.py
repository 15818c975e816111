"""Scenarios, a file for each client and subject; files that end in `_tools` hold what several of them need.

A file may have a function `missing()`: why its client is not on this machine, or the empty string.
"""
