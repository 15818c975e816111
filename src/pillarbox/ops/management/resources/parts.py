"""Parts of documents that several resources have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pillarbox.ops.management.fields import BOOLEAN, INTEGER, OBJECT, STRING, Schema

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientChannel, ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.ops.management.request import Request

NO_ERLANG_PROCESS = {
    "fullsweep_after": -1,
    "max_heap_size": -1,
    "min_bin_vheap_size": -1,
    "min_heap_size": -1,
    "minor_gcs": -1,
}
"""`garbage_collection`, as RabbitMQ shows it where there is no process to speak of."""
GARBAGE_COLLECTION: Schema = {"type": "object", "properties": dict.fromkeys(NO_ERLANG_PROCESS, INTEGER)}


def channel_name(facts: ClientFacts, channel: ClientChannel) -> str:
    return f"{facts.name} ({channel.number})"


def connection_details(facts: ClientFacts) -> dict[str, Any]:
    return {"name": facts.name, "peer_host": facts.peer_host, "peer_port": facts.peer_port}


CONNECTION_DETAILS: Schema = {
    "type": "object",
    "properties": {"name": STRING, "peer_host": STRING, "peer_port": INTEGER},
}


def consumer_document(consumer: Consumer, vhost: str, request: Request) -> dict[str, Any]:
    """A consumer, as it is shown by itself, with its queue and with its channel."""
    queue = consumer.queue
    waits = consumer in queue.standby
    status = "waiting" if waits else "single_active" if queue.single_active else "up"
    return {
        "ack_required": not consumer.no_ack,
        "active": not waits,
        "activity_status": status,
        "arguments": consumer.arguments,
        "channel_details": _channel_details(consumer, request),
        "consumer_tag": consumer.tag,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "queue": {"name": queue.name, "vhost": vhost},
    }


def _channel_details(consumer: Consumer, request: Request) -> dict[str, Any]:
    # Whoever receives is, in every head, also what it lists as its channel.
    channel = cast("ClientChannel", consumer.sink)
    client = channel.session.head
    if client is None:
        return {}
    facts = client.client_facts()
    return {
        "connection_name": facts.name,
        "name": channel_name(facts, channel),
        "node": request.node.name,
        "number": channel.number,
        "peer_host": facts.peer_host,
        "peer_port": facts.peer_port,
        "user": channel.session.user.name,
    }


CONSUMER_PROPERTIES: dict[str, Schema] = {
    "ack_required": BOOLEAN,
    "active": BOOLEAN,
    "activity_status": STRING,
    "arguments": OBJECT,
    "channel_details": {
        "type": "object",
        "properties": {
            "connection_name": STRING,
            "name": STRING,
            "node": STRING,
            "number": INTEGER,
            "peer_host": STRING,
            "peer_port": INTEGER,
            "user": STRING,
        },
    },
    "consumer_tag": STRING,
    "exclusive": BOOLEAN,
    "prefetch_count": INTEGER,
    "queue": {"type": "object", "properties": {"name": STRING, "vhost": STRING}},
}
CONSUMER: Schema = {"type": "object", "properties": CONSUMER_PROPERTIES}
