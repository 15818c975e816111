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


def topic(name: str) -> str:
    return f"{BROKER},destinationType=Topic,destinationName={name}"


def durable(client: str, name: str) -> str:
    return f"{NEWS},endpoint=Consumer,clientId={client},consumerId=Durable({client}_{name})"


ORDERS, NEWS = queue("orders"), topic("news")
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
    # What subscribe() has made: topics, subscriptions, connections.
    f"read/{NEWS}/Name,EnqueueCount,DequeueCount,DispatchCount,InFlightCount,ConsumerCount,ProducerCount,DLQ",
    f"read/{topic('none')}/ConsumerCount",
    f"read/{durable('billing', 'all')}/Active,ClientId,SubscriptionName,DestinationName,Selector,Durable,"
    "ConnectionId,Connection,PendingQueueSize,DispatchedQueueSize,DispatchedCounter,EnqueueCounter,"
    "DequeueCounter,MessageCountAwaitingAcknowledge,DestinationTopic,DestinationQueue",
    f"read/{durable('audit', 'red')}/Active,ClientId,SubscriptionName,DestinationName,Durable,Connection,"
    "PendingQueueSize,DispatchedQueueSize,DispatchedCounter,EnqueueCounter,DequeueCounter,Exclusive,Network",
    f"read/{durable('billing', 'none')}/Active",
    f"search/{BROKER},destinationType=Topic,endpoint=Consumer,*",
    f"search/{BROKER},connector=clientConnectors,connectionViewType=clientId,*",
    f"search/{BROKER},connector=clientConnectors,connectorName=stomp*",
    f"read/{BROKER},connector=clientConnectors,connectorName=*,connectionViewType=*,connectionName=audit/"
    "ClientId,Connected,Active,Blocked,Slow,Consumers,ActiveTransactionCount",
    f"read/{BROKER},service=Health/CurrentStatus",
    f"read/{BROKER},service=JobScheduler,name=JMS/ScheduledMessageCount",
    f"read/{BROKER}/InactiveDurableTopicSubscribers",
    f"read/{BROKER}/DurableTopicSubscribers,TopicSubscribers,QueueSubscribers,TemporaryQueues,QueueProducers",
    f"exec/{NEWS}/sendTextMessage({TEXT})/hello",
    f"read/{NEWS}/EnqueueCount",
    f"exec/{ORDERS}/pause",
    f"read/{ORDERS}/Paused",
    f"exec/{ORDERS}/resume",
    f"read/{ORDERS}/Paused",
    f"exec/{ORDERS}/retryMessages",
    f"exec/{ORDERS}/removeMessage/none",
    f"exec/{ORDERS}/moveMessageTo/none/other",
    f"exec/{ORDERS}/copyMessageTo/none/other",
    f"exec/{ORDERS}/copyMessageTo",
    f"exec/{BROKER}/destroyDurableSubscriber/billing/none",
    f"exec/{BROKER}/destroyDurableSubscriber/audit/red",
    f"exec/{BROKER}/destroyDurableSubscriber/billing/all",
    f"read/{durable('billing', 'all')}/Active",
    f"exec/{BROKER}/removeTopic/none",
)
"""Paths, and bodies for POST."""

_ID = re.compile(r"^ID:\S+$")
_CONNECTOR = re.compile(r"connectorName=stomp_//\w[\w.]*_\d+")
"""Where it listens."""


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


def subscribe(stomp_port: int) -> stomp.Connection12:
    """Make two durable subscriptions, one of them with a client that stays; each gets two messages."""
    clients = []
    for client_id, name in (("billing", "all"), ("audit", "red")):
        client = stomp.Connection12([(HOST, stomp_port)], vhost="/")
        receipts = stomp.listener.WaitingListener("subscribed")
        client.set_listener("", receipts)
        client.connect("guest", "guest", wait=True, headers={"client-id": client_id})
        named = {"activemq.subscriptionName": name, "receipt": "subscribed"}
        client.subscribe("/topic/news", "1", "auto", headers=named)
        receipts.wait_on_receipt()
        clients.append(client)
    billing, audit = clients
    gone = stomp.listener.WaitingListener("gone")
    billing.set_listener("", gone)
    billing.disconnect("gone")
    gone.wait_on_receipt()
    for receipt in ("one", "two"):
        sent = stomp.listener.WaitingListener(receipt)
        audit.set_listener("", sent)
        audit.send("/topic/news", receipt, headers={"persistent": "true", "receipt": receipt})
        sent.wait_on_receipt()
    return audit


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
    plain = json.loads(_CONNECTOR.sub("connectorName=stomp", json.dumps(plain)))
    if isinstance(plain.get("value"), str):
        plain["value"] = _ID.sub("ID", plain["value"])
    if isinstance(plain.get("value"), list):
        plain["value"] = sorted(plain["value"])
    return plain


def play(port: int) -> list[Any]:
    """The answers to all steps."""
    return [shown(json.loads(ask(port, step)[1])) for step in STEPS]
