"""MQTT 3.1, 3.1.1 and 5: topics on `amq.topic`, a queue for each session that subscribes to any.

One flow: socket → `connection` → `inbound` → core; core → `outbound` → `connection` → socket. What is kept of
clients that are not connected stands in `sessions`, what new subscribers are told first in `retained`. What
packets look like is the business of `packets`, `properties` and `primitives`; what a stored message of this
protocol is, of `stored`.
"""
