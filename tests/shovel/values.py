"""Values of a shovel's parameter, right and wrong, that RabbitMQ was asked about."""

from __future__ import annotations

from typing import Any

GOOD: dict[str, Any] = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}


def changed(*without: str, **keys: Any) -> dict[str, Any]:
    """The good value with these keys besides (`_` for `-`), and without others."""
    kept = {key: value for key, value in GOOD.items() if key not in without}
    return kept | {key.replace("_", "-"): value for key, value in keys.items()}


VALUES: dict[str, Any] = {
    "good": GOOD,
    "empty": {},
    "a list": [1],
    "a text": "x",
    "a number": 1,
    "no source URI": changed("src-uri"),
    "no destination URI": changed("dest-uri"),
    "no source": changed("src-queue"),
    "no destination": changed("dest-queue"),
    "two sources": changed(src_exchange="e"),
    "two destinations": changed(dest_exchange="e"),
    "two of both": changed(src_exchange="e", dest_exchange="f"),
    "key without exchange": changed(src_exchange_key="k", dest_exchange_key="k"),
    "key alone": changed("src-queue", src_exchange_key="k"),
    "unknown key": changed(nonsense=1),
    "unknown keys": changed(nonsense=1, other={"a": [True, None]}),
    "queue without a name": changed(src_queue="", dest_queue=""),
    "URI is a number": changed(src_uri=5),
    "URI of another scheme": changed(src_uri="http://x"),
    "URI without a scheme": changed(src_uri="localhost"),
    "URI is empty": changed(src_uri=""),
    "URI of a misspelled scheme": changed(dest_uri="amqp//"),
    "URI with a bad port": changed(src_uri="amqp://h:x"),
    "URI with a bad heartbeat": changed(src_uri="amqp://h?heartbeat=x"),
    "URI with an unknown parameter": changed(src_uri="amqp://h?nope=1"),
    "URIs": changed(src_uri=["amqp://", "amqp://localhost"]),
    "URIs, one of them bad": changed(src_uri=["amqp://", "http://y"]),
    "URIs, one of them a number": changed(src_uri=[5]),
    "URIs, none": changed(src_uri=[]),
    "ack-mode unknown": changed(ack_mode="sometimes"),
    "ack-mode is a number": changed(ack_mode=1),
    "prefetch is a text": changed(prefetch_count="x"),
    "prefetch is below zero": changed(src_prefetch_count=-1),
    "prefetch is a fraction": changed(prefetch_count=1.5),
    "reconnect-delay is a text": changed(reconnect_delay="x"),
    "reconnect-delay is a fraction": changed(reconnect_delay=0.5),
    "flags are none": changed(add_forward_headers="yes", dest_add_timestamp_header=1),
    "properties are a list": changed(publish_properties=[1]),
    "properties are a number": changed(publish_properties=1),
    "properties": changed(publish_properties={"delivery_mode": 2}),
    "properties unknown": changed(dest_publish_properties={"nope": 2, "headers": {"a": 1}}),
    "properties of a wrong type": changed(
        dest_publish_properties={"content_type": 5, "delivery_mode": "x", "timestamp": "y", "expiration": 5}
    ),
    "delete-after is a word": changed(delete_after="x"),
    "delete-after is below zero": changed(src_delete_after=-1),
    "delete-after is a fraction": changed(delete_after=1.5),
    "delete-after is a list": changed(delete_after=[1]),
    "delete-after never": changed(delete_after="never"),
    "no-ack until the queue is empty": changed(ack_mode="no-ack", delete_after="queue-length"),
    "no-ack until so many": changed(ack_mode="no-ack", delete_after=5),
    "no-ack until so many, by its newer name": changed(ack_mode="no-ack", src_delete_after=5),
    "names are numbers": changed(src_queue=5, dest_queue=5),
    "names of exchanges are numbers": changed(
        "src-queue", "dest-queue", src_exchange=5, src_exchange_key=5, dest_exchange=5, dest_exchange_key=7
    ),
    "exchanges": changed(
        "src-queue", "dest-queue", src_exchange="amq.topic", src_exchange_key="#", dest_exchange="amq.fanout"
    ),
    "arguments": changed(
        src_queue_args={"x-queue-type": "quorum"},
        dest_queue_args={"x-queue-type": "quorum"},
        src_consumer_args={"x-priority": 5},
    ),
    "arguments are a list": changed(src_queue_args=[1]),
    "arguments are a number": changed(src_queue_args=5),
    "protocol": changed(src_protocol="amqp091"),
    "protocol 1.0": changed("src-queue", src_protocol="amqp10", src_address="q"),
    "protocol unknown": changed(dest_protocol="kafka"),
    "key of a later release": changed(src_predeclared=True),
    "much at once": changed(ack_mode="x", prefetch_count="y", reconnect_delay="z", nonsense=3),
    "a virtual host that is not there": changed(src_uri="amqp:///nowhere"),
}
