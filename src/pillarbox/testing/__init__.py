"""Testing with a real broker: the pytest plugin, and tools for Pillarbox's own tests.

`plugin` gives the fixture `pillarbox`; `faults` records and breaks file operations. May import
everything; nothing in the package imports it.
"""
