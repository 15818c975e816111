"""gmqtt."""

from __future__ import annotations

import asyncio
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "mqtt"
PEER = "mosquitto"
HOST = "127.0.0.1"


class Reader:
    """A client whose messages are put into a queue."""

    def __init__(self, case: Case, word: str) -> None:
        self.client = gmqtt.Client(case.name(word))
        self.messages: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.subscribed = asyncio.Event()
        self.client.on_message = self._message
        self.client.on_subscribe = lambda *said: self.subscribed.set()

    async def _message(self, client: Any, topic: str, payload: bytes, qos: int, properties: Any) -> int:
        self.messages.put_nowait((topic, payload, qos, properties.get("user_property")))
        return 0

    async def subscribe(self, topic: str, qos: int) -> None:
        self.subscribed.clear()
        self.client.subscribe(topic, qos=qos)
        await asyncio.wait_for(self.subscribed.wait(), 10)


@scenario("R141")
def publish_and_subscribe(case: Case) -> None:
    async def play(version: int) -> None:
        reader, writer = Reader(case, f"reader{version}"), gmqtt.Client(case.name(f"writer{version}"))
        await reader.client.connect(HOST, case.port, version=version)
        await writer.connect(HOST, case.port, version=version)
        topic = case.name("t")
        await reader.subscribe(f"{topic}/+", 2)
        for qos in (0, 1, 2):
            more = {"user_property": ("name", "value")} if version == MQTTv50 else {}
            writer.publish(f"{topic}/{qos}", f"quality {qos}", qos=qos, **more)
            case.saw("got", *await asyncio.wait_for(reader.messages.get(), 10))
        await reader.client.disconnect()
        await writer.disconnect()

    for version in (MQTTv311, MQTTv50):
        case.saw("version", version)
        asyncio.run(play(version))
