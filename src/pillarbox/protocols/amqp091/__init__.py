"""AMQP 0-9-1 as RabbitMQ speaks it.

Main types: `connection.Connection` (handshake, frames, channels, heartbeats), `channel.Channel` (content,
deliveries, confirms), `commands` (what each method does), `publishing` (what the bytes of a publish mean).
Codec: `wire` (frames, headers, properties), `wire_tables` (field tables), `methods` (the table of methods).

One flow: bytes → `ingest`, the hot path, or `Connection.next_frame`, the obvious one → `Channel` →
`broker.session` and `Core.publish`; back through `Sink.deliver` and `Waiting.confirm` into `Connection.out`.

To add a method: a row in `methods`, a function and a row in `commands`. A reply code: a row in `errors`.
"""
