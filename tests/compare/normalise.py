"""Turn what a broker sent in one step into a form in which two correct brokers agree.

What may differ, and why:

* names that a broker makes up (queues, consumer tags, reply addresses): become "$q1", "$c1", "$r1" in
  order of appearance, everywhere, error texts included;
* grouping of confirms (`multiple`): the specification leaves it open; expanded to the set of numbers;
* order on one channel between deliveries, confirms, returns and replies: independent parts of a broker;
  kept within each kind, and checked where it is promised (return before its confirm, no delivery without
  a consumer);
* order between deliveries from different queues in one step, and so which of them gets which tag: queues are
  independent of each other; compared queue by queue then, with the set of tags as a whole;
* delivery tags of replies to a direct reply consumer: RabbitMQ repeats one number, they are never settled;
* order between channels: each is compared by itself;
* values of server-properties, cluster_id, known_hosts: free text;
* whether a broker hangs up with FIN or RST: both are "eof";
* a reason over HTTP, which RabbitMQ escapes as if it were shown in a page: compared as it reads;
* `nowait` of a basic.cancel that a broker sends: RabbitMQ sets it, clients ignore it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from tests.compare.client import Event, decode_properties

BODY_SIZE_MAX = 60  # Longer bodies are written down as size and digest.

_GENERATED = (
    ("q", re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}")),
    ("c", re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}")),
    ("r", re.compile(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_.-]{16,}")),
)
REPLY_TO = "amq.rabbitmq.reply-to"

# Arguments that say nothing, by event.
_DROPPED = {
    "basic.get-empty": ("cluster_id",),
    "channel.open-ok": ("channel_id",),
    "connection.open-ok": ("known_hosts",),
    "basic.cancel": ("nowait",),
}


class Aliases:
    """Made-up names of one run and what stands for them."""

    def __init__(self) -> None:
        self.alias: dict[str, str] = {}
        self.real: dict[str, str] = {}
        self.count: dict[str, int] = {}

    def hide(self, text: str) -> str:
        """Replace every made-up name, giving new ones their alias."""
        for letter, pattern in _GENERATED:
            text = pattern.sub(lambda match, letter=letter: self._alias(letter, match[0]), text)  # type: ignore[misc]
        return text

    def show(self, value: Any) -> Any:
        """Replace aliases by the names of this run, in texts however deep; unknown ones stay."""
        if isinstance(value, str):
            return self.real.get(value, value)
        if isinstance(value, dict):
            return {key: self.show(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.show(item) for item in value]
        return value

    def _alias(self, letter: str, name: str) -> str:
        if name not in self.alias:
            self.count[letter] = self.count.get(letter, 0) + 1
            alias = f"${letter}{self.count[letter]}"
            self.alias[name] = alias
            self.real[alias] = name
        return self.alias[name]


def body_text(body: bytes) -> str:
    """Return a short body as text, a long one as size and digest."""
    if len(body) <= BODY_SIZE_MAX and body.isascii():
        return body.decode()
    return f"{len(body)} bytes {hashlib.sha1(body).hexdigest()[:8]}"


def properties_text(properties: bytes, aliases: Aliases) -> Any:
    """Return properties as on the wire, in hex; decoded if they hold a made-up name or tell of a death."""
    if b"x-death" in properties:
        return _of_the_dead(decode_properties(properties), aliases)
    if f"{REPLY_TO}.".encode() not in properties:
        return "" if properties == b"\0\0" else properties.hex()
    decoded = decode_properties(properties)
    return {key: aliases.hide(value) if isinstance(value, str) else value for key, value in decoded.items()}


def _of_the_dead(properties: dict[str, Any], aliases: Aliases) -> dict[str, Any]:
    """Return a dead letter's properties: without times, and without what only 3.13 writes.

    Behind the latest death the order is free: 3.10.8 turns it around with every death, 3.13 does not.
    """
    headers = {
        key: value for key, value in properties["headers"].items() if not key.startswith("x-last-death-")
    }
    deaths = headers["x-death"]
    if isinstance(deaths, list):
        shown = [_shown_death(death) for death in deaths]
        headers["x-death"] = shown[:1] + sorted(shown[1:], key=str)
    return {**properties, "headers": {key: hidden(value, aliases) for key, value in headers.items()}}


def _shown_death(death: Any) -> Any:
    if not isinstance(death, dict):
        return death
    return {key: "*" if isinstance(death[key], datetime) else death[key] for key in sorted(death)}


def hidden(value: Any, aliases: Aliases) -> Any:
    """Replace made-up names in texts however deep."""
    if isinstance(value, str):
        return aliases.hide(value)
    if isinstance(value, dict):
        return {key: hidden(item, aliases) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item, aliases) for item in value]
    return value


def plain(event: Event, aliases: Aliases) -> list[Any]:
    """Return one event as [name, argument, ...] for JSON."""
    args = {key: value for key, value in event.args.items() if key not in _DROPPED.get(event.name, ())}
    if event.name in ("channel.close", "connection.close"):
        place = f"{args['class_id']}/{args['method_id']}"
        return [event.name, args["reply_code"], aliases.hide(args["reply_text"]), place]
    if event.name == "connection.start":
        return [event.name, args["version_major"], args["version_minor"], args["mechanisms"], args["locales"]]
    values = [aliases.hide(value) if isinstance(value, str) else value for value in args.values()]
    values = [int(value) if isinstance(value, bool) else value for value in values]
    if event.body is not None:
        assert event.properties is not None
        values += [properties_text(event.properties, aliases), body_text(event.body)]
    return [event.name, *values]


def grouped(deliveries: list[tuple[str, list[Any]]]) -> list[list[Any]]:
    """Return deliveries (queue, plain event) of one channel and step; see the module's fourth point.

    From one queue: as they came, tags included. From several: by queue, with "*" for the tag, after
    ["tags", first, last].
    """
    queues = sorted({queue for queue, _ in deliveries})
    if queues == [REPLY_TO]:
        return [[*event[:2], "*", *event[3:]] for _, event in deliveries]
    if len(queues) <= 1:
        return [event for _, event in deliveries]
    tags = [event[2] for _, event in deliveries]
    result: list[list[Any]] = [["tags", min(tags), max(tags)]]
    for queue in queues:
        result += [[*event[:2], "*", *event[3:]] for name, event in deliveries if name == queue]
    return result


REPLIES, RETURNS, CONFIRMS, CANCELS, DELIVERIES = range(5)
KINDS = {"basic.return": RETURNS, "basic.ack": CONFIRMS, "basic.nack": CONFIRMS, "basic.cancel": CANCELS}
