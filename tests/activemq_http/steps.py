"""Requests to Jolokia, one after another, on a broker with three messages in the queue `orders`."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import stomp

HOST = "127.0.0.1"
BROKER = "org.apache.activemq:type=Broker,brokerName=localhost"


def queue(name: str) -> str:
    return f"{BROKER},destinationType=Queue,destinationName={name}"


ORDERS = queue("orders")
TEXT, MAP = "java.lang.String", "java.util.Map"

STEPS: tuple[Any, ...] = (
    f"read/{ORDERS}/QueueSize",
    f"read/{ORDERS}/QueueSize,EnqueueCount,InFlightCount,ConsumerCount,Paused,DLQ,Name,MemoryPercentUsage",
    f"read/{BROKER}/BrokerName,TotalMessageCount,TotalConsumerCount,BrokerVersion,MemoryPercentUsage,Slave",
    f"read/{queue('none')}/QueueSize",
    f"read/{ORDERS}/Nonsense",
    f"read/{queue('*')}/QueueSize",
    f"read/{queue('a!/b')}/QueueSize",
    "read/bad",
    "read",
    "nonsense/x",
    f"search/{BROKER},destinationType=Queue,*",
    "search/*:destinationType=Queue,*",
    {"type": "exec", "mbean": ORDERS, "operation": f"sendTextMessage({TEXT})", "arguments": ["one"]},
    {"type": "exec", "mbean": ORDERS, "operation": "sendTextMessage", "arguments": ["one"]},
    {
        "type": "exec",
        "mbean": ORDERS,
        "operation": f"sendTextMessage({MAP},{TEXT})",
        "arguments": [{"colour": "red"}, "two"],
    },
    {
        "type": "exec",
        "mbean": ORDERS,
        "operation": f"sendTextMessage({MAP},{TEXT},{TEXT},{TEXT})",
        "arguments": [{"colour": "blue"}, "three", "admin", "admin"],
    },
    f"exec/{BROKER}/addQueue/fresh",
    f"exec/{BROKER}/addTopic/fresh",
    f"exec/{ORDERS}/moveMatchingMessagesTo({TEXT},{TEXT})/n='1'/fresh",
    f"exec/{ORDERS}/copyMatchingMessagesTo({TEXT},{TEXT})/n='2'/fresh",
    f"exec/{ORDERS}/removeMatchingMessages({TEXT})/n='2'",
    f"exec/{ORDERS}/removeMatchingMessages({TEXT})/colour = 'red' OR colour = 'green'",
    f"exec/{ORDERS}/removeMatchingMessages({TEXT})/n === 2",
    f"exec/{ORDERS}/nonsense",
    f"exec/{ORDERS}/purge/1",
    f"exec/{queue('none')}/purge",
    [
        {"type": "read", "mbean": ORDERS, "attribute": "QueueSize"},
        {"type": "READ", "mbean": queue("fresh"), "attribute": ["QueueSize", "EnqueueCount"]},
        {"type": "read", "mbean": queue("none"), "attribute": "QueueSize"},
    ],
    [{"type": "nonsense"}],
    f"exec/{ORDERS}/purge",
    f"read/{ORDERS}/QueueSize,EnqueueCount,InFlightCount",
    f"exec/{BROKER}/removeQueue/fresh",
    f"read/{queue('fresh')}/QueueSize",
    f"exec/{BROKER}/removeQueue/none",
)
"""Paths, and bodies for POST."""

_ID = re.compile(r"^ID:\S+$")


def fill(stomp_port: int) -> None:
    """Send three messages, and see that they are there."""
    client = stomp.Connection12([(HOST, stomp_port)], vhost="/")
    receipts = stomp.listener.WaitingListener("last")
    client.set_listener("", receipts)
    client.connect("guest", "guest", wait=True)
    for number in range(3):
        receipt = {"receipt": "last"} if number == 2 else {}
        client.send(
            "/queue/orders", f"m{number}", headers={"persistent": "true", "n": str(number), **receipt}
        )
    receipts.wait_on_receipt()
    client.disconnect()


def ask(port: int, step: Any, user: str = "guest", method: str = "") -> tuple[int, Any]:
    """Status and document of one request."""
    connection = HTTPConnection(HOST, port, timeout=60)
    headers = {
        "Authorization": "Basic " + b64encode(f"{user}:{user}".encode()).decode(),
        "Origin": "http://localhost",
    }
    try:
        if isinstance(step, str):
            connection.request(method or "GET", "/api/jolokia/" + quote(step, safe="/:,=!*()"), None, headers)
        else:
            connection.request(method or "POST", "/api/jolokia/", json.dumps(step), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def shown(document: Any) -> Any:
    """A document without what differs from run to run."""
    if isinstance(document, list):
        return [shown(each) for each in document]
    plain = {name: each for name, each in document.items() if name not in ("timestamp", "stacktrace")}
    if isinstance(plain.get("value"), str):
        plain["value"] = _ID.sub("ID", plain["value"])
    if isinstance(plain.get("value"), list):
        plain["value"] = sorted(plain["value"])
    return plain


def play(port: int) -> list[Any]:
    """The answers to all steps."""
    return [shown(json.loads(ask(port, step)[1])) for step in STEPS]
