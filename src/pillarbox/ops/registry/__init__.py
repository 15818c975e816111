"""A schema registry on a port of its own, in the words of Confluent's REST interface, version 1 (K79).

`application` is the ASGI application and says who may; `routes` is its table, with handlers in `resources`
and `settings`; `store` is what is registered, kept through the core like what other heads keep, under the
`names` of subjects and contexts; `compatibility` says what a level demands, `contract` what metadata and
rules may be, and `formats` knows Avro, JSON Schema and Protobuf, a module each with one row in its table.

One flow: a request → its handler → the schema is parsed and compared in a thread, one at a time → `store`
keeps it → the answer, when that is durable. To add a format: a module and its row.

Not here: exporters, encryption keys, associations, rules that are executed (clients do that; they are kept
and handed out). What the formats need beside the broker is the extra `registry`.

Source: Confluent, "Schema Registry API Reference"; codes and texts of errors are the registry's.
"""
