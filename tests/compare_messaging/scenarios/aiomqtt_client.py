"""aiomqtt."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "mqtt"
PEER = "mosquitto"
HOST = "127.0.0.1"


def client(case: Case, word: str, **more: Any) -> aiomqtt.Client:
    return aiomqtt.Client(HOST, case.port, identifier=case.name(word), **more)


@scenario("R141")
def publish_and_subscribe(case: Case) -> None:
    async def play() -> None:
        async with client(case, "reader") as reader, client(case, "writer") as writer:
            topic = case.name("t")
            await reader.subscribe(f"{topic}/#", qos=2)
            for qos in (0, 1, 2):
                await writer.publish(f"{topic}/{qos}", f"quality {qos}", qos=qos)
            count = 0
            async for message in reader.messages:
                case.saw("got", message.topic.value, message.payload, message.qos, message.retain)
                count += 1
                if count == 3:
                    break

    asyncio.run(play())


@scenario("R141")
def a_session_of_version_5(case: Case) -> None:
    async def play() -> None:
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 100
        said: dict[str, Any] = {
            "protocol": aiomqtt.ProtocolVersion.V5,
            "clean_start": False,
            "properties": kept,
        }
        topic = case.name("t")
        async with client(case, "reader", **said) as reader:
            await reader.subscribe(topic, qos=1)
        async with client(case, "writer") as writer:
            for number in range(20):
                await writer.publish(topic, str(number), qos=1)
        async with client(case, "reader", **said) as reader:
            found = []
            async for message in reader.messages:
                found.append(message.payload)
                if len(found) == 20:
                    break
            case.saw("waited", found)

    asyncio.run(play())


@scenario("R141")
def a_will(case: Case) -> None:
    async def play() -> None:
        topic = case.name("will")
        async with client(case, "heir") as heir:
            await heir.subscribe(topic)
            rude = client(case, "rude", will=aiomqtt.Will(topic, b"gone", qos=0))
            await rude.__aenter__()
            rude._client.socket().close()
            async for message in heir.messages:
                case.saw("got", message.payload)
                break

    asyncio.run(play())
