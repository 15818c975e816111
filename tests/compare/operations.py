"""The vocabulary of operations, as data that JSON can hold.

An operation is [on, name, arguments]. `on` is a connection ("a") or a channel of it ("a1"). Names are
the methods of AMQP 0-9-1 ("queue.declare"; the arguments are the method's, those that are not given are
false, zero or empty) and a few of our own:

* `connect`: log in, with `user`, `password`, `vhost`, `tune`, `properties`, `mechanism`, `response`;
* `dial`: open a socket and send `data` (hex);
* `raw`: send `data` (hex) on an open connection; `expect` names what must come back before the step ends, as
  [channel, event], "eof" included; `channels` are opened before;
* `disconnect`: hang up without a word;
* `policy.set`, `policy.clear`: make or remove the `policy` of that name in the virtual host "/" over HTTP;
  `kind` is the word in the path ("policies", "operator-policies"), `document` the policy. What is answered
  stands in the step's "http": the status, and the reason where it is refused.

Further arguments of ours: `body` (text, or [character, size]; default: a text made from the step's
number), `count` (publish so many), `properties` (a dict, or hex as on the wire), `delivery` (instead of a
delivery tag: the n-th unsettled delivery of the channel, modulo their number; a step without any is
void), `ensure: false` (do not open connection and channel first), `hold` (with `raw`: the client leaves
it to `data` to answer channel.close). "$q1", "$c2", "$r1" in any text stand for the first server-named
queue, the second generated consumer tag, the first reply address of the run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.compare.client import METHODS, encode_properties


class Operation(NamedTuple):
    on: str
    name: str
    args: dict[str, Any]

    @property
    def connection(self) -> str:
        return self.on[0]

    @property
    def channel(self) -> int:
        return int(self.on[1:] or 0)

    def to_json(self) -> list[Any]:
        return [self.on, self.name, self.args] if self.args else [self.on, self.name]

    @classmethod
    def from_json(cls, value: list[Any]) -> Operation:
        return cls(value[0], value[1], value[2] if len(value) > 2 else {})

    def __str__(self) -> str:
        return f"{self.on} {self.name} " + " ".join(f"{key}={value!r}" for key, value in self.args.items())


Sequence = list[Operation]

OWN_ARGUMENTS = frozenset(
    (
        *("body", "count", "properties", "delivery", "ensure", "hold", "data", "expect", "channels"),
        *("user", "password", "vhost", "tune", "mechanism", "response"),
    )
)
HTTP_METHODS = {"policy.set": "PUT", "policy.clear": "DELETE"}
OWN_NAMES = frozenset(("connect", "dial", "raw", "disconnect", *HTTP_METHODS))
HTTP = "h"
"""What such an operation is on, though no connection."""


def op(on: str, name: str, **args: Any) -> Operation:
    """Make an operation; refuse names and arguments that do not exist."""
    assert name in METHODS or name in OWN_NAMES, name
    if name in METHODS:
        unknown = set(args) - set(METHODS[name].__slots__) - OWN_ARGUMENTS
        assert not unknown, (name, unknown)
    if isinstance(args.get("properties"), dict) and name == "basic.publish":
        args["properties"] = encode_properties(args["properties"]).hex()
    return Operation(on, name, args)


def declare(queue: str = "q1", on: str = "a1", **args: Any) -> Operation:
    return op(on, "queue.declare", queue=queue, **args)


def exchange(name: str, kind: str = "direct", on: str = "a1", **args: Any) -> Operation:
    return op(on, "exchange.declare", exchange=name, exchange_type=kind, **args)


def bind(queue: str, source: str, key: str = "", on: str = "a1", **args: Any) -> Operation:
    return op(on, "queue.bind", queue=queue, exchange=source, routing_key=key, **args)


def unbind(queue: str, source: str, key: str = "", on: str = "a1", **args: Any) -> Operation:
    return op(on, "queue.unbind", queue=queue, exchange=source, routing_key=key, **args)


def publish(key: str = "q1", exchange: str = "", on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.publish", exchange=exchange, routing_key=key, **args)


def get(queue: str = "q1", on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.get", queue=queue, **args)


def consume(queue: str = "q1", tag: str = "c", on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.consume", queue=queue, consumer_tag=tag, **args)


def cancel(tag: str = "c", on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.cancel", consumer_tag=tag, **args)


def qos(count: int, on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.qos", prefetch_count=count, **args)


def ack(delivery: int = 0, on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.ack", delivery=delivery, **args)


def ack_tag(tag: int, on: str = "a1", **args: Any) -> Operation:
    return op(on, "basic.ack", delivery_tag=tag, **args)


def nack(delivery: int = 0, on: str = "a1", **args: Any) -> Operation:
    args.setdefault("requeue", True)
    return op(on, "basic.nack", delivery=delivery, **args)


def reject(delivery: int = 0, on: str = "a1", **args: Any) -> Operation:
    args.setdefault("requeue", True)
    return op(on, "basic.reject", delivery=delivery, **args)


def close_channel(on: str = "a1") -> Operation:
    return op(on, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)


def close_connection(on: str = "a") -> Operation:
    return op(on, "connection.close", reply_code=200, reply_text="", class_id=0, method_id=0)


def set_policy(
    definition: dict[str, Any],
    name: str = "p1",
    pattern: str = "^q",
    *,
    kind: str = "policies",
    apply_to: str = "all",
    priority: int = 0,
) -> Operation:
    document = {"pattern": pattern, "definition": definition, "apply-to": apply_to, "priority": priority}
    return op(HTTP, "policy.set", kind=kind, policy=name, document=document)


def clear_policy(name: str = "p1", *, kind: str = "policies") -> Operation:
    return op(HTTP, "policy.clear", kind=kind, policy=name)
