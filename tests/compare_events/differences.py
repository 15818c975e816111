"""Where Pillarbox tells something else than RabbitMQ, each with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.compare_events.watcher import Told
from tests.transcripts.case import Line

Change = Callable[[Line], list[Line]]


@dataclass(frozen=True)
class Difference:
    """`lines`: what is told instead of lines of RabbitMQ's transcript, by their number.

    Each is made of what stands there: a change of the line, or of how many there are.
    """

    scenario: str
    reason: str
    lines: dict[int, Change]


def but(key: str = "", **changes: Any) -> Change:
    """The same line with another key, and with headers that have another value, or (None) are not there."""

    def change(line: Line) -> list[Line]:
        headers = {name: value for name, value in {**line[1], **changes}.items() if value is not None}
        return [[key or line[0], dict(sorted(headers.items())), *line[2:]]]

    return change


def nothing(line: Line) -> list[Line]:
    """No such event."""
    return []


def followed_by(*events: Line) -> Change:
    """The same line, and more events of the same user."""
    more = [[key, dict(sorted({**BY, **headers}.items()))] for key, headers in events]
    return lambda line: [line, *more]


def spelled(former: str, now: str) -> Change:
    """The same line, with something else in its texts."""
    return lambda line: [json.loads(json.dumps(line).replace(former, now))]


def as_json(line: Line) -> list[Line]:
    """A line of a file with a list of texts, as JSON writes them."""
    return [[re.sub(r'<<"([^"]*)">>', r'"\1"', line[0])]]


BY: dict[str, Any] = {"timestamp_in_ms:l": "now", "user_who_performed_action:S": "guest"}
CHANGED: Line = ["user.password.changed", {"name:S": "u"}]
CLEARED: Line = ["user.password.cleared", {"name:S": "u"}]
CHANNEL_CLOSED: Line = ["channel.closed", {"pid:S": "<2>", **BY}]
CONSUMER_CREATED: Line = [
    "consumer.created",
    {
        "ack_required:t": True, "arguments:A": [], "channel:S": "<2>", "consumer_tag:S": "stream",
        "exclusive:t": False, "prefetch_count:l": 10, "queue:S": "q-stream", **BY, "vhost:S": "/",
    },
]  # fmt: skip
LOGIN_REFUSED: Line = [
    "user.authentication.failure",
    {
        "auth_mechanism:S": "MADE-UP", "connection_name:S": "127.0.0.1:CLIENT1 -> 127.0.0.1:PORT",
        "connection_type:S": "network",
        "error:A": {"characters": "unknown authentication mechanism 'MADE-UP'"}, "host:S": "{127,0,0,1}",
        "peer_host:S": "{127,0,0,1}", "peer_port:l": "CLIENT1", "protocol:S": "{0,9,1}", "ssl:t": False,
        "timestamp_in_ms:l": "now",
    },
]  # fmt: skip
CAPABILITIES = (
    '{<<"capabilities">>,table,[{<<"authentication_failure_close">>,bool,true},{<<"basic.nack">>,bool,true},'
    '{<<"connection.blocked">>,bool,true},{<<"consumer_cancel_notify">>,bool,true},'
    '{<<"publisher_confirms">>,bool,true}]}'
)
TRACED_PROPERTIES = 'Properties:   {"delivery_mode": 2, "headers": {"a": 1, "b": "c"}}'
SHORTER = spelled(",long,", ",signedint,")


def from_afar(port: str, protocol: str) -> Change:
    """The same login, with where it comes from."""
    name = f"127.0.0.1:CLIENT1 -> 127.0.0.1:{port}"
    ends = {"host:S": "{127,0,0,1}", "peer_host:S": "{127,0,0,1}", "peer_port:l": "CLIENT1"}
    more = {"connection_name:S": name, "connection_type:S": "network", "protocol:S": protocol, "ssl:t": False}
    return but(**{"auth_mechanism:S": "PLAIN", **ends, **more})


UNENCRYPTED = dict.fromkeys(
    (
        *("peer_cert_issuer:S", "peer_cert_subject:S", "peer_cert_validity:S"),
        *("ssl_cipher:S", "ssl_hash:S", "ssl_key_exchange:S", "ssl_protocol:S"),
    ),
    "",
)


def as_network(properties: list[list[str]], timeout_s: int) -> Change:
    """The same connection, as one of the network's."""
    none = dict.fromkeys(("channels:l", "variable_map:S"))
    more = {"auth_mechanism:S": "PLAIN", "timeout:l": timeout_s, "type:S": "network"}
    return but(**{**UNENCRYPTED, **none, **more, "client_properties:A": properties})


MQTT = from_afar("MQTT", "{'MQTT',\"3.1.1\"}")
STOMP = from_afar("STOMP", "{'STOMP',\"1.2\"}")
STOMP_CLIENT = [["S", '{<<"product">>,longstr,<<"STOMP client">>}']]
OTHER_PROTOCOLS: dict[str, dict[int, Change]] = {
    "other_protocols.mqtt": {
        1: MQTT,
        2: as_network([["S", '{<<"client_id">>,longstr,<<"me">>}']], 60),
        4: nothing,  # One channel is enough.
        7: nothing,
        8: but(**{"client_properties:A": []}),
    },
    "other_protocols.mqtt_refused": {1: MQTT},
    "other_protocols.stomp": {
        1: STOMP,
        2: as_network(STOMP_CLIENT, 0),
        6: but(**{"client_properties:A": STOMP_CLIENT}),
    },
    "other_protocols.stomp_refused": {1: STOMP},
}

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "administration.limits_of_virtual_hosts",
        "Limits that are cleared are told as such; RabbitMQ's management sets them to an empty list.",
        {11: but("parameter.cleared", **{"value:A": None}), 12: but("vhost.limits.cleared")},
    ),
    Difference(
        "administration.global_parameters",
        "Objects within a value are tables; RabbitMQ writes them as Erlang text, which clients cannot read.",
        {
            1: but(**{"value:F": {"a:l": 1, "b:A": [["l", 1], ["l", 2], ["S", "x"]], "c:F": {"d:t": True}}}),
            13: but(**{"value:A": [["l", 1], ["F", {"a:l": 2}]]}),
        },
    ),
    Difference(
        "administration.global_parameters",
        "A parameter that is cleared is told as such, as in later releases; 3.10 tells that it is set.",
        {20: but("parameter.cleared")},
    ),
    Difference(
        "administration.definitions_imported",
        "Nobody gets rights that the definitions do not give; RabbitMQ gives them to who imports a vhost.",
        {11: nothing},
    ),
    Difference(
        "connections.closed_without_a_word",
        "Nothing is told of a connection after its end; RabbitMQ's channels outlive it by a moment.",
        {5: lambda line: [CHANNEL_CLOSED, line], 6: nothing},
    ),
    Difference(
        "connections.refused_for_its_mechanism",
        "A login by a mechanism that there is not is refused, and told, as any other.",
        {1: lambda line: [LOGIN_REFUSED, *but(**{"client_properties:A": [["S", CAPABILITIES]]})(line)]},
    ),
    Difference(
        "consumers.of_other_types_of_queues",
        "Who has cancelled a consumer is told, of whatever type its queue is.",
        {3: but(**{"user_who_performed_action:S": "guest"})},
    ),
    Difference(
        "consumers.of_other_types_of_queues",
        "Consumers of streams are told as others are; RabbitMQ tells of their end only.",
        {5: lambda line: [CONSUMER_CREATED]},
    ),
    Difference(
        "firehose.over_http",
        "What the management API does is shown as such, and not by a process id.",
        {number: but(**{"connection:S": "management"}) for number in (1, 2)},
    ),
    Difference(
        "firehose.files_of_json",
        "Nothing is null in a file of JSON; RabbitMQ writes its own word for it, as a text.",
        {number: spelled('"undefined"', "null") for number in (0, 2)},
    ),
    Difference(
        "firehose.files_of_text",
        "Lists and tables are JSON in a file for people to read, where RabbitMQ writes Erlang terms.",
        {
            **dict.fromkeys((10, 11, 27, 28, 42, 57), as_json),
            **dict.fromkeys((29, 44), spelled("[]", "{}")),
            **dict.fromkeys((12, 59), lambda line: [[TRACED_PROPERTIES]]),
            **dict.fromkeys((13, 14, 60, 61), nothing),
        },
    ),
    *(
        Difference(
            scenario,
            "RabbitMQ 3.10 serves these through connections with itself, and tells little of the client.",
            lines,
        )
        for scenario, lines in OTHER_PROTOCOLS.items()
    ),
    Difference(
        "topology.topology_over_http",
        "A number in JSON has no size: it is what clients send, 32 bits if that is enough.",
        {1: SHORTER, 2: SHORTER, 5: SHORTER, 12: SHORTER},
    ),
    Difference(
        "users.made_changed_and_removed",
        "A password that is changed by its hash, or cleared, is told, as in later releases.",
        {
            8: followed_by(CHANGED, ["user.tags.set", {"name:S": "u", "tags:A": [["S", "administrator"]]}]),
            9: followed_by(CLEARED, ["user.tags.set", {"name:S": "u", "tags:A": []}]),
        },
    ),
)


def in_words() -> Iterator[str]:
    """The differences for docs/compatibility.md."""
    yield from (f"`{difference.scenario}`: {difference.reason}" for difference in DIFFERENCES)
    yield from (f"not compared: {reason}" for reason, _ in HIDDEN)


def expected(scenario: str, recorded: list[Line]) -> list[Line]:
    """What Pillarbox is to tell where RabbitMQ told the recorded lines."""
    changes: dict[int, Change] = {}
    for difference in DIFFERENCES:
        if difference.scenario == scenario:
            changes |= difference.lines
    lines: list[Line] = []
    for number, line in enumerate(recorded):
        lines += changes[number](line) if number in changes else [line]
    return lines


HIDDEN: tuple[tuple[str, Callable[[Told, dict[str, Any]], bool]], ...] = (
    (
        "RabbitMQ marks an exchange while it is deleted, in a parameter that its other nodes see.",
        lambda told, headers: headers.get("component") == "exchange-delete-in-progress",
    ),
    (
        "RabbitMQ tells twice that a consumer went with its queue, the second time without who did it.",
        lambda told, headers: told.key == "consumer.deleted" and "user_who_performed_action" not in headers,
    ),
)
"""What is not compared, whoever tells it, each with the reason."""


def hidden(told: Told) -> bool:
    """Is this one of them?"""
    headers = {name: value for name, _, value in told.headers}
    return any(fits(told, headers) for _, fits in HIDDEN)
