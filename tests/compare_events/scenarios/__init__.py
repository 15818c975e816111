"""Scenarios, a file for each kind of thing that events are about."""
