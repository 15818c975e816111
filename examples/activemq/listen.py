"""Take orders out of the queue `shipping`, one at a time, and acknowledge each when it is done.

    python examples/activemq/listen.py

The broker is STOMP_HOST (default localhost) and STOMP_PORT (default 61613).
"""

import os
import threading

import stomp

ADDRESS = os.environ.get("STOMP_HOST", "localhost"), int(os.environ.get("STOMP_PORT", "61613"))


class Orders(stomp.ConnectionListener):
    def __init__(self, connection: stomp.Connection12) -> None:
        self.connection = connection

    def on_message(self, frame: stomp.utils.Frame) -> None:
        print(f"shipping {frame.body}", flush=True)
        self.connection.ack(frame.headers["ack"])

    def on_error(self, frame: stomp.utils.Frame) -> None:
        print(f"refused: {frame.headers['message']}", flush=True)


def main() -> None:
    connection = stomp.Connection12([ADDRESS], vhost="/")
    connection.set_listener("orders", Orders(connection))
    connection.connect("guest", "guest", wait=True)
    # With RabbitMQ's word for it, and with ActiveMQ's.
    one_at_a_time = {"prefetch-count": "1", "activemq.prefetchSize": "1"}
    print("waiting for orders", flush=True)
    try:
        connection.subscribe("/queue/shipping", "1", ack="client-individual", headers=one_at_a_time)
        threading.Event().wait()
    except KeyboardInterrupt:
        connection.disconnect()
        print("stopped")


if __name__ == "__main__":
    main()
