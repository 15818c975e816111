"""Clients of MQTT and STOMP: logged in, refused, and gone."""

from __future__ import annotations

import contextlib
import socket

from tests.compare_events.case import Case
from tests.transcripts.registry import scenario


def _mqtt_connect(user: str, password: str, client_id: str = "me") -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session."""
    fields = b"".join(len(text).to_bytes(2, "big") + text.encode() for text in (client_id, user, password))
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + fields
    return b"\x10" + bytes([len(body)]) + body


def _stomp_connect(user: str, password: str) -> bytes:
    return f"CONNECT\naccept-version:1.2\nhost:/\nlogin:{user}\npasscode:{password}\n\n\0".encode()


def _answer(client: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        client.recv(4096)


@scenario("R141", "R75")
def mqtt(case: Case) -> None:
    client = case.dial("mqtt")
    client.sendall(_mqtt_connect("guest", "guest"))
    _answer(client)
    case.told("connected", "connection.created")
    client.sendall(b"\xe0\x00")
    client.close()
    case.told("disconnected", "connection.closed")


@scenario("R141", "R75")
def mqtt_refused(case: Case) -> None:
    client = case.dial("mqtt")
    client.sendall(_mqtt_connect("guest", "wrong"))
    _answer(client)
    client.close()
    case.told("wrong password", "user.authentication.failure")


@scenario("R142", "R75")
def stomp(case: Case) -> None:
    client = case.dial("stomp")
    client.sendall(_stomp_connect("guest", "guest"))
    _answer(client)
    case.told("connected", "connection.created")
    client.sendall(b"DISCONNECT\nreceipt:1\n\n\0")
    _answer(client)
    client.close()
    case.told("disconnected", "connection.closed")


@scenario("R142", "R75")
def stomp_refused(case: Case) -> None:
    client = case.dial("stomp")
    client.sendall(_stomp_connect("guest", "wrong"))
    _answer(client)
    client.close()
    case.told("wrong password", "user.authentication.failure")
