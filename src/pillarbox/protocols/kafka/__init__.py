"""Kafka's protocol. So far its codec: nothing here is served yet.

`wire` has the primitive types, `messages` the messages of each API key, generated from Kafka's own
definitions, `codec` the way into them: request header and request from bytes, response header and response to
bytes. These know bytes alone, neither the domain nor a socket. To come: connection, errors, and a file for
each key with what it does.
"""
