"""Send orders to the queue `shipping` and wait until the broker has them safe.

    python examples/activemq/send.py 3

The broker is STOMP_HOST (default localhost) and STOMP_PORT (default 61613).
"""

import os
import sys

import stomp
from stomp.listener import WaitingListener

ADDRESS = os.environ.get("STOMP_HOST", "localhost"), int(os.environ.get("STOMP_PORT", "61613"))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    connection = stomp.Connection12([ADDRESS], vhost="/")
    safe = WaitingListener("sent")
    connection.set_listener("safe", safe)
    connection.connect("guest", "guest", wait=True)
    # A transaction: all of them or none. Persistent: they outlive a restart of the broker.
    connection.begin("orders")
    for number in range(count):
        headers = {"persistent": "true"}
        connection.send("/queue/shipping", f"order {number}", transaction="orders", headers=headers)
    connection.commit("orders", receipt="sent")
    safe.wait_on_receipt()
    print(f"{count} orders sent")
    connection.disconnect()


if __name__ == "__main__":
    main()
