"""The domain: virtual hosts, exchanges, queues, consumers, confirms. Pure, synchronous, no protocol.

Main types: `core.Core` (all state, and the tick), `session.Session` (what a logged-in user may ask for),
`vhost.VHost`, `exchange.Exchange`, `queue.Queue`, `run.Run` (messages that move together),
`ledger.Ledger` (deliveries that are out), `confirm.Publisher`, `sink.Sink` (what a head must offer).

One flow: a head resolves a route through its session, hands runs of messages to `Core.publish`; queues
note in `changes.Changes` what the tick has to do; `Core.tick` dispatches and gives the engine one group.

To add an exchange kind: an index and a row in `routing`. To add a queue argument: a row in `arguments`.
"""
