"""Quotas that no client library has words for: what is refused and in which words, who pauses, who is shut
out (K74)."""

from __future__ import annotations

import time
from typing import Any

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.raw_tools import PAUSE_S, TRIES, named
from tests.protocols.kafka.asking import Asking, ms
from tests.transcripts.registry import scenario

EXACT, BY_DEFAULT, ANY = range(3)
HERE = "127.0.0.1"
PAUSE_MS_MAX = 1000


def altered(client: Asking, entity: dict[str, str | None], **values: float | None) -> Any:
    """The answer to limits set or (None) lifted."""
    parts = [{"entity_type": kind, "entity_name": name} for kind, name in entity.items()]
    ops = [
        {"key": key, "value": 0.0 if value is None else value, "remove": value is None}
        for key, value in values.items()
    ]
    return client.ask("AlterClientQuotas", 1, entries=[{"entity": parts, "ops": ops}]).entries[0]


def described(client: Asking, *components: tuple[str, int, str | None], strict: bool = False) -> Any:
    wanted = [{"entity_type": kind, "match_type": match, "match": name} for kind, match, name in components]
    return client.ask("DescribeClientQuotas", 1, components=wanted, strict=strict)


def shown(client: Asking, *components: tuple[str, int, str | None], strict: bool = False) -> list[Any]:
    found = described(client, *components, strict=strict)
    return sorted(
        [
            [[part.entity_type, part.entity_name or ""] for part in each.entity],
            [[value.key, value.value] for value in each.values],
        ]
        for each in found.entries
    )


@scenario("K74")
def of_addresses(case: Case) -> None:
    """`ip` and its default, with all that is refused."""
    with Asking(case.bootstrap) as client:
        rate = "connection_creation_rate"
        far, default = {"ip": "192.0.2.7"}, {"ip": None}
        for label, entity, values in (
            ("no address", {"ip": "not an address"}, {rate: 5.0}),
            ("with a user", {"ip": HERE, "user": "u"}, {rate: 5.0}),
            ("empty", {"ip": ""}, {rate: 5.0}),
            ("bytes", far, {"producer_byte_rate": 5.0}),
            ("part of one", far, {rate: 1.5}),
            ("none", far, {rate: 0.0}),
            ("too many", far, {rate: 2.0**31}),
            ("of a user", {"user": "u"}, {rate: 5.0}),
            ("of a planet", {"planet": "u"}, {rate: 5.0}),
            ("time of none", {"user": "u"}, {"request_percentage": 0.0}),
            ("part of a byte", {"user": "u"}, {"producer_byte_rate": 1.5}),
            ("no such limit", {"user": "u"}, {"no_such_rate": 1.0}),
            ("lifting no such limit", {"user": "u"}, {"no_such_rate": None}),
            ("an address", far, {rate: 500.0}),
            ("one of IPv6", {"ip": "2001:db8::7"}, {rate: 600.0}),
            ("the others", default, {rate: 7000.0}),
        ):
            answer = altered(client, entity, **values)
            case.saw(label, named(answer.error_code), answer.error_message or "")
        for _ in range(TRIES):
            if len(shown(client, ("ip", ANY, None))) == 3:
                break
            time.sleep(PAUSE_S)
        case.saw("all", shown(client, ("ip", ANY, None)))
        case.saw("one", shown(client, ("ip", EXACT, "192.0.2.7"), strict=True))
        case.saw("default", shown(client, ("ip", BY_DEFAULT, None)))
        for label, filters in (
            ("ip and user", [("ip", ANY, None), ("user", ANY, None)]),
            ("twice", [("ip", ANY, None), ("ip", ANY, None)]),
            ("planet", [("planet", ANY, None)]),
            ("empty kind", [("", ANY, None)]),
            ("unknown match", [("ip", 7, None)]),
        ):
            answer = described(client, *filters)
            case.saw(label, named(answer.error_code), answer.error_message or "")
        for entity in (far, {"ip": "2001:db8::7"}, default):
            case.saw("lifted", named(altered(client, entity, **{rate: None}).error_code))
        for _ in range(TRIES):
            if not shown(client, ("ip", ANY, None)):
                break
            time.sleep(PAUSE_S)
        case.saw("none left", shown(client, ("ip", ANY, None)))


@scenario("K74", "K18")
def of_time(case: Case) -> None:
    """A client with next to no time is told to pause, for a second at most; others are not."""
    slow = {"client-id": case.name("slow")}
    with Asking(case.bootstrap) as admin, Asking(case.bootstrap, client_id=slow["client-id"]) as client:
        case.saw("limited", named(altered(admin, slow, request_percentage=0.001).error_code))
        longest_ms = 0
        for _ in range(TRIES):
            longest_ms = ms(client.ask("Metadata", 12, topics=()).throttle_time)
            if longest_ms:
                break
        case.saw("pauses", 0 < longest_ms <= PAUSE_MS_MAX)
        case.saw("others", ms(admin.ask("Metadata", 12, topics=()).throttle_time))
        case.saw("lifted", named(altered(admin, slow, request_percentage=None).error_code))


def is_let_in(bootstrap: str) -> bool:
    try:
        with Asking(bootstrap) as client:
            return bool(client.ask("Metadata", 12, topics=()).brokers)
    except ConnectionError:
        return False


@scenario("K74")
def of_connections(case: Case) -> None:
    """Who comes too often is shut out, and let in again when nobody minds any more."""
    here = {"ip": HERE}
    with Asking(case.bootstrap) as admin:
        case.saw("limited", named(altered(admin, here, connection_creation_rate=1).error_code))
        case.saw("shut out", not all(is_let_in(case.bootstrap) for _ in range(TRIES)))
        case.saw("who is in stays", bool(admin.ask("Metadata", 12, topics=()).brokers))
        case.saw("lifted", named(altered(admin, here, connection_creation_rate=None).error_code))
        again = False
        for _ in range(TRIES):
            again = is_let_in(case.bootstrap)
            if again:
                break
            time.sleep(PAUSE_S)
        case.saw("let in", again)
