"""Testing with a real broker: the pytest plugin, and tools for Pillarbox's own tests.

`plugin` gives the fixture `pillarbox`; `faults` records and breaks file operations; `simulator` runs a whole
broker, its clients and its disk from a seed and checks it after every step. May import
everything; nothing in the package imports it.
"""
