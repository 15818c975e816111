"""A client of one socket that says what a test wants it to, and shows what the broker answers."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from pillarbox.protocols.mqtt.packets import (
    Answer,
    Connect,
    Disconnect,
    Packet,
    PingRequest,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.peer import Received

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 2, 3, 4, 5, 6, 7
SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 9, 11, 13, 14


class Talker:
    """See the module."""

    def __init__(self, port: int, version: int) -> None:
        self.version = version
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._data = b""
        self._number = 0
        self._messages: deque[Received] = deque()
        """Messages that came before an answer that was waited for."""

    def cut(self) -> None:
        """Go without a word."""
        self._socket.close()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say(self, packet: Packet) -> None:
        self.write(peer.encode(packet, self.version))

    def hear(self) -> Received:
        """The next packet of the broker. Raises EOFError when it has closed."""
        return self._messages.popleft() if self._messages else self._hear()

    def hear_answer(self) -> Received:
        """The next packet that is no message."""
        while (received := self._hear()).kind == PUBLISH:
            self._messages.append(received)
        return received

    def _hear(self) -> Received:
        while True:
            if len(self._data) >= 2:
                size = peer.Cursor(self._data[1:])
                try:
                    length = size.integer()
                except AssertionError:
                    length = 1 << 30
                if len(size.data) >= length:
                    received, self._data = peer.decode(self._data, self.version)
                    return received
            more = self._socket.recv(1 << 16)
            if not more:
                raise EOFError
            self._data += more

    def is_closed(self) -> bool:
        """Has the broker closed, without another word?"""
        try:
            received = self.hear()
        except (EOFError, ConnectionResetError):
            return True
        raise AssertionError(f"the broker says {received}")

    def connect(
        self,
        client_id: str = "",
        *,
        clean: bool = True,
        will: Will | None = None,
        username: str | None = None,
        password: bytes | None = None,
        keep_alive_s: int = 0,
        **properties: Any,
    ) -> Received:
        self.say(
            Connect(
                version=self.version,
                clean=clean,
                keep_alive_s=keep_alive_s,
                client_id=client_id,
                will=will,
                username=username,
                password=password,
                properties=properties,
            )
        )
        answer = self.hear()
        assert answer.kind == CONNACK
        return answer

    def next_id(self) -> int:
        self._number += 1
        return self._number

    def subscribe(self, *filters: str, qos: int = 2, identifier: int = 0, **options: Any) -> list[int]:
        properties = {"subscription_identifier": [identifier]} if identifier else {}
        rows = [Subscription(one, qos, **options) for one in filters]
        self.say(Subscribe(self.next_id(), rows, properties))
        answer = self.hear_answer()
        assert (answer.kind, answer.fields["packet_id"]) == (SUBACK, self._number)
        reasons: list[int] = answer.fields["reasons"]
        return reasons

    def unsubscribe(self, *filters: str) -> list[int]:
        self.say(Unsubscribe(self.next_id(), list(filters), {}))
        answer = self.hear_answer()
        assert (answer.kind, answer.fields["packet_id"]) == (UNSUBACK, self._number)
        reasons: list[int] = answer.fields["reasons"]
        return reasons

    def publish(
        self, topic: str, payload: bytes = b"x", *, qos: int = 0, retain: bool = False, **properties: Any
    ) -> None:
        """Publish, and see the exchange of QoS 1 or 2 through."""
        packet_id = self.next_id() if qos else 0
        self.say(
            Publish(
                topic=topic,
                payload=payload,
                qos=qos,
                retain=retain,
                packet_id=packet_id,
                properties=properties,
            )
        )
        if qos == 1:
            assert self.answered(PUBACK) == packet_id
        elif qos == 2:
            assert self.answered(PUBREC) == packet_id
            self.say(Answer(PUBREL, packet_id))
            assert self.answered(PUBCOMP) == packet_id

    def answered(self, kind: int) -> int:
        """The packet identifier of the answer that comes next, which has to be of this kind and good."""
        answer = self.hear_answer()
        assert (answer.kind, answer.fields["reason"]) == (kind, 0), answer
        packet_id: int = answer.fields["packet_id"]
        return packet_id

    def receive(self) -> Received:
        """The next message, answered as its quality wants it."""
        message = self.hear()
        assert message.kind == PUBLISH, message
        qos = message.flags >> 1 & 3
        if qos == 1:
            self.say(Answer(PUBACK, message.fields["packet_id"]))
        elif qos == 2:
            self.say(Answer(PUBREC, message.fields["packet_id"]))
            assert self.answered(PUBREL) == message.fields["packet_id"]
            self.say(Answer(PUBCOMP, message.fields["packet_id"]))
        return message

    def got(self) -> tuple[str, bytes, int]:
        """Topic, payload and quality of the next message."""
        message = self.receive()
        return message.fields["topic"], message.fields["payload"], message.flags >> 1 & 3

    def hears_nothing(self) -> bool:
        """Was everything heard that the broker has sent up to now?"""
        self.say(PingRequest())
        answer = self.hear()
        assert answer.kind == PINGRESP, answer
        return True

    def leave(self, reason: int = 0, **properties: Any) -> None:
        """Say goodbye, and see the socket closed."""
        self.say(Disconnect(reason, properties))
        assert self.is_closed()
