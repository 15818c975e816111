"""`@stomp/stompjs` in the dialect of RabbitMQ."""

from __future__ import annotations

from tests.compare_messaging import stompjs_tools

SHARED = stompjs_tools
PROTOCOL = "stomp"
PEER = "rabbitmq"
missing = stompjs_tools.missing
