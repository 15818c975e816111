"""Consumer groups: who is in them, what each member has, and how far each group has read.

`coordinator` knows all groups by name and is all that the API keys see at first; `classic` is a group whose
members agree among themselves by JoinGroup and SyncGroup; `offsets` is what a group has committed, and
`records` how groups and offsets are kept. Nothing here knows bytes of the wire, sockets or clocks: an answer
that has to wait is a function that is called later, and the time is asked of the host.

To add a kind of group: a module with a class that has what `coordinator.Group` names, and a row in
`coordinator.KINDS`.
"""
