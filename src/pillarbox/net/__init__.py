"""Asyncio transports: sockets in, sockets out.

Main types: `Ticker` (one turn of the loop: all input, then one tick, then one write per connection) and
`Driver` (one socket and its sans-I/O connection). Knows the `Connection` interface, never the core.
To serve another protocol: give `Driver` a factory that makes its connections.
"""
