"""Print what comes to a topic filter until it is interrupted; what comes meanwhile waits for the next start.

    python examples/mqtt/subscribe.py 'plant/+/temperature'

The broker is MQTT_HOST (default localhost) and MQTT_PORT (default 1883).
"""

import os
import sys

import paho.mqtt.client as mqtt

HOST = os.environ.get("MQTT_HOST", "localhost")
PORT = int(os.environ.get("MQTT_PORT", "1883"))


def main() -> None:
    topic_filter = sys.argv[1] if len(sys.argv) > 1 else "plant/#"
    # A name of its own and no clean session: the broker keeps what comes while nobody is here.
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
    client.on_connect = lambda client, *said: client.subscribe(topic_filter, qos=1)
    client.on_subscribe = lambda client, *said: print(f"waiting for {topic_filter}", flush=True)
    client.on_message = lambda client, data, message: print(
        f"{message.topic}: {message.payload.decode()}", flush=True
    )
    client.connect(HOST, PORT)
    try:
        client.loop_forever()
    except KeyboardInterrupt:
        client.disconnect()
        print("stopped")


if __name__ == "__main__":
    main()
