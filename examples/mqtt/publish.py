"""Publish one message and wait until the broker has it safe.

    python examples/mqtt/publish.py plant/7/temperature 21.5

The broker is MQTT_HOST (default localhost) and MQTT_PORT (default 1883).
"""

import os
import sys

import paho.mqtt.client as mqtt

HOST = os.environ.get("MQTT_HOST", "localhost")
PORT = int(os.environ.get("MQTT_PORT", "1883"))
TIMEOUT_S = 30


def main() -> None:
    topic, payload = sys.argv[1:3] if len(sys.argv) > 2 else ("plant/7/temperature", "21.5")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(HOST, PORT)
    client.loop_start()
    # QoS 1: the broker answers when the message is on its disk. Retained: who subscribes later is told it.
    sent = client.publish(topic, payload, qos=1, retain=True)
    sent.wait_for_publish(TIMEOUT_S)
    if not sent.is_published():
        sys.exit("the broker did not answer in time")
    print(f"published to {topic}")
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
