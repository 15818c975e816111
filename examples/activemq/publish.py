"""Publish news to a topic, at once or after a delay.

    python examples/activemq/publish.py news.weather 2 "storm tonight"
    python examples/activemq/publish.py news.weather 2 "storm over" 5000

The broker is STOMP_HOST (default localhost) and STOMP_PORT (default 61613).
"""

import os
import sys

import stomp
from stomp.listener import WaitingListener

ADDRESS = os.environ.get("STOMP_HOST", "localhost"), int(os.environ.get("STOMP_PORT", "61613"))


def main() -> None:
    topic, level, text, *delay_ms = sys.argv[1:] or ("news.weather", "2", "storm tonight")
    headers = {"persistent": "true", "level": level, "receipt": "sent"}
    if delay_ms:
        headers["AMQ_SCHEDULED_DELAY"] = delay_ms[0]
    connection = stomp.Connection12([ADDRESS], vhost="/")
    safe = WaitingListener("sent")
    connection.set_listener("safe", safe)
    connection.connect("guest", "guest", wait=True)
    connection.send(f"/topic/{topic}", text, headers=headers)
    safe.wait_on_receipt()
    print(f"published to {topic}")
    connection.disconnect()


if __name__ == "__main__":
    main()
