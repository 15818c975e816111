"""Protocols: one folder each, on top of the domain. A folder knows nothing of another.

A folder holds the codec (bytes alone), the connection (the state of one client, sans I/O), what its methods
do, and its errors: which code every `Reason` of the domain becomes. `net` drives a connection through the
interface `net.driver.Connection`. To add a protocol: a folder, a row in `registry`, one in `options`.
"""
