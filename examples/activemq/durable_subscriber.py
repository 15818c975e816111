"""Follow the urgent news of a topic, also what was published while this program did not run.

    python examples/activemq/durable_subscriber.py

The broker is STOMP_HOST (default localhost) and STOMP_PORT (default 61613).
"""

import os
import threading

import stomp

ADDRESS = os.environ.get("STOMP_HOST", "localhost"), int(os.environ.get("STOMP_PORT", "61613"))


class News(stomp.ConnectionListener):
    def on_message(self, frame: stomp.utils.Frame) -> None:
        print(f"{frame.headers['destination']}: {frame.body}", flush=True)

    def on_receipt(self, frame: stomp.utils.Frame) -> None:
        print("following", flush=True)


def main() -> None:
    connection = stomp.Connection12([ADDRESS], vhost="/")
    connection.set_listener("news", News())
    # The broker knows the subscription by the client's id and its own name.
    connection.connect("guest", "guest", wait=True, headers={"client-id": "desk"})
    headers = {
        "activemq.subscriptionName": "urgent",
        "selector": "level >= 2",
        "receipt": "subscribed",
    }
    try:
        connection.subscribe("/topic/news.>", "1", headers=headers)
        threading.Event().wait()
    except KeyboardInterrupt:
        connection.set_listener("news", stomp.ConnectionListener())
        connection.disconnect()
        print("stopped")


if __name__ == "__main__":
    main()
