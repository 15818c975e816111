"""`@stomp/stompjs` in the dialect of ActiveMQ."""

from __future__ import annotations

from tests.compare_messaging import stompjs_tools

SHARED = stompjs_tools
PROTOCOL = "stomp-activemq"
PEER = "activemq"
missing = stompjs_tools.missing
