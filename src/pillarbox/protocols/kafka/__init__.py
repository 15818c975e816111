"""Kafka's protocol: topics are streams, and clients of Kafka find in them what those of Kafka 4.2 expect.

One flow: socket read → `connection` (sizes, headers, order of answers) → `codec` → `api/<key>.answer(call,
request)` → `broker` → the response, at once or when it is durable (`call`).

`wire` has the primitive types, `messages` the messages of each API key, generated from Kafka's own
definitions, `codec` the way into them; these know bytes alone. `head` has what all connections share,
`versions` what is offered, `errors` the codes. Topics: `creation`, `configs` and its tables `config_table`
and `broker_configs`. Who may do what: `rights`, as said by `permissions` or `acls`. Logins: `sasl`
(mechanisms), `login`. To add a key: its file in `api` and its number in `api.SERVED`. To add a topic's
config: a row in `config_table`.
"""
