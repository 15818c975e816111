"""examples/mqtt/: every program runs as a process of its own against the broker, unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pillarbox import Broker

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "mqtt"
WAIT_S = 60.0


def started(broker: Broker, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(broker.mqtt_port)},
    )


def read(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def test_a_message_is_published_and_read_now_later_and_by_newcomers() -> None:
    with Broker(mqtt_port=0) as broker:
        reader = started(broker, "subscribe.py", "plant/+/temperature")
        assert read(reader, 1) == ["waiting for plant/+/temperature"]
        output, _ = started(broker, "publish.py").communicate(timeout=WAIT_S)
        assert output == "published to plant/7/temperature\n"
        assert read(reader, 1) == ["plant/7/temperature: 21.5"]
        reader.send_signal(signal.SIGINT)
        output, _ = reader.communicate(timeout=WAIT_S)
        assert (output, reader.returncode) == ("stopped\n", 0)
        started(broker, "publish.py", "plant/8/temperature", "19").communicate(timeout=WAIT_S)
        reader = started(broker, "subscribe.py", "plant/+/temperature")
        assert "plant/8/temperature: 19" in read(reader, 2)
        reader.send_signal(signal.SIGINT)
        reader.communicate(timeout=WAIT_S)
