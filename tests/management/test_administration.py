"""What operators do over HTTP: each resource is made, shown, changed, refused and removed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pika
import pytest

from pillarbox import Broker
from pillarbox.ops import pace as pace_module
from pillarbox.ops.management.resources import messages
from pillarbox.ops.pace import Pace
from tests.management.http import Client, client

MISSING = {"error": "Object Not Found", "reason": "Not Found"}


@pytest.fixture
def limited(broker: Broker, api: Client) -> Iterator[Client]:
    """The API as somebody with the tag `management` and rights in `/` alone."""
    assert api.request("PUT", "users/clerk", {"password": "c", "tags": "management"}).status == 201
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    assert api.request("PUT", "permissions/%2F/clerk", everything).status == 201
    with client(broker, "clerk", "c") as found:
        yield found


LIVES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("vhosts/v1", {"description": "first"}, {"tags": "a,b"}, {"name": "v1", "tags": ["a", "b"]}),
    (
        "users/u1",
        {"password": "x", "tags": "management,policymaker"},
        {"password": "y", "tags": ["monitoring"]},
        {"name": "u1", "tags": ["monitoring"], "limits": {}},
    ),
    (
        "policies/%2F/p1",
        {"pattern": "^a", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"},
        {"pattern": "^b", "definition": {"max-length": 6}},
        {
            "vhost": "/",
            "name": "p1",
            "pattern": "^b",
            "apply-to": "all",
            "definition": {"max-length": 6},
            "priority": 0,
        },
    ),
    (
        "operator-policies/%2F/o1",
        {"pattern": "^a", "definition": {"max-length": 5}, "apply-to": "queues"},
        {"pattern": "^b", "definition": {"expires": 6}, "apply-to": "queues"},
        {"name": "o1", "definition": {"expires": 6}},
    ),
    ("global-parameters/gp", {"value": {"a": 1}}, {"value": 2}, {"name": "gp", "value": 2}),
    (
        "permissions/%2F/guest2",
        {"configure": ".*", "write": ".*", "read": ""},
        {"configure": "", "write": "a", "read": "b"},
        {"user": "guest2", "vhost": "/", "configure": "", "write": "a", "read": "b"},
    ),
]


@pytest.mark.row("R115")
@pytest.mark.parametrize(("path", "first", "second", "shown"), LIVES, ids=[life[0] for life in LIVES])
def test_made_changed_shown_listed_and_removed(
    api: Client, path: str, first: dict[str, Any], second: dict[str, Any], shown: dict[str, Any]
) -> None:
    """R115: 201 for what is new, 204 for a change and for what is gone, 404 for what is not there."""
    api.request("PUT", "users/guest2", {"tags": ""})
    assert api.request("GET", path).status == 404
    assert api.request("PUT", path, first).status == 201
    assert api.request("PUT", path, second).status == 204
    document = api.get(path)
    assert {name: document[name] for name in shown} == shown
    assert (
        document.items()
        <= next(one for one in api.get(path.split("/")[0]) if shown.items() <= one.items()).items()
    )
    assert api.request("DELETE", path).status == 204
    gone = api.request("DELETE", path)
    assert (gone.status, gone.document) == (404, MISSING)


REFUSED = [
    ("PUT", "users/u", {"password": "x"}, 400, "tags_not_present"),
    (
        "PUT",
        "users/u",
        {"password": "x", "password_hash": "", "tags": ""},
        400,
        "both_password_and_password_hash_are_provided",
    ),
    ("PUT", "users/u", {"password_hash": "?", "tags": ""}, 400, "password_hash is not base64"),
    ("POST", "users/bulk-delete", {"users": ["guest", "none"]}, 400, "no_such_user: none"),
    (
        "PUT",
        "permissions/%2F/none",
        {"configure": "", "write": "", "read": ""},
        400,
        "vhost_or_user_not_found",
    ),
    (
        "PUT",
        "permissions/none/guest",
        {"configure": "", "write": "", "read": ""},
        400,
        "vhost_or_user_not_found",
    ),
    ("PUT", "permissions/%2F/guest", {"configure": "[", "write": "", "read": ""}, 400, "invalid_regexp: [: "),
    ("PUT", "permissions/%2F/guest", {"configure": "", "write": "(a+)+$", "read": ""}, 400, "invalid_"),
    ("PUT", "permissions/%2F/guest", {"configure": "", "write": ""}, 400, "read"),
    ("PUT", "vhosts/v", {"default_queue_type": "nope"}, 400, "unsupported queue type 'nope'"),
    (
        "PUT",
        "policies/%2F/p",
        {"pattern": "a", "definition": {"nope": 1}},
        400,
        "are not recognised policy settings",
    ),
    (
        "PUT",
        "policies/%2F/p",
        {"pattern": "[", "definition": {"expires": 1}},
        400,
        "pattern should be regular expr",
    ),
    ("PUT", "policies/%2F/p", {"pattern": "a", "definition": {}}, 400, "no policy provided"),
    ("PUT", "policies/none/p", {"pattern": "a", "definition": {"expires": 1}}, 404, "Not Found"),
    ("PUT", "user-limits/guest/max-foo", {"value": 1}, 400, 'Unrecognised terms [{<<"max-foo">>,1}]'),
    ("PUT", "user-limits/none/max-channels", {"value": 1}, 404, "Not Found"),
    ("PUT", "parameters/nope/%2F/x", {"value": {}}, 400, "component nope not found"),
    (
        "PUT",
        "parameters/shovel/%2F/x",
        {"value": {}},
        400,
        "Must specify 'src-exchange' or 'src-queue'\nKey \"dest-uri\" not found in x\nKey \"src-uri\" not",
    ),
    ("PUT", "parameters/federation-upstream/%2F/x", {"value": {}}, 400, "Pillarbox has no federation"),
    ("PUT", "global-parameters/big", {"value": 1 << 64}, 400, "the number 18446744073709551616 is too large"),
    ("PUT", "queues/%2F/q", {"arguments": [1]}, 400, "a list stands where an object belongs"),
    ("PUT", "queues/none/q", {}, 404, "Not Found"),
    ("PUT", "queues/%2F/q", {"durable": "yes"}, 400, "durable"),
    ("PUT", "queues/%2F/q", {"arguments": {"x-message-ttl": -1}}, 400, "invalid arg 'x-message-ttl'"),
    ("PUT", "queues/%2F/amq.x", {}, 401, "amq.x"),
    ("PUT", "exchanges/%2F/e", {"type": "nope"}, 400, "nope"),
    ("DELETE", "exchanges/%2F/amq.direct", None, 401, "amq.direct"),
    ("POST", "definitions", {"queues": [{"name": "q", "vhost": "none"}]}, 400, "queues[0] (q)"),
    ("POST", "definitions", b"{", 400, "not valid JSON"),
    ("POST", "definitions", {"queues": "x"}, 400, "queues must be a list"),
]


@pytest.mark.row("R115")
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    REFUSED,
    ids=[f"{one[1]}-{n}" for n, one in enumerate(REFUSED)],
)
def test_what_is_wrong_is_refused_with_its_reason_and_changes_nothing(
    api: Client, method: str, path: str, body: Any, status: int, text: str
) -> None:
    before = api.get("definitions")
    reply = api.request(method, path, body)
    assert (reply.status, text in reply.document["reason"]) == (status, True), reply
    assert api.get("definitions") == before


@pytest.mark.row("R115")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "users", None),
        ("PUT", "users/x", {"tags": ""}),
        ("PUT", "vhosts/x", {}),
        ("PUT", "policies/%2F/p", {"pattern": "a", "definition": {"expires": 1}}),
        ("PUT", "operator-policies/%2F/p", {"pattern": "a", "definition": {"expires": 1}}),
        ("GET", "definitions", None),
        ("POST", "definitions", {}),
        ("PUT", "global-parameters/x", {"value": 1}),
        ("PUT", "vhost-limits/%2F/max-queues", {"value": 1}),
    ],
)
def test_tags_say_who_may_administer(api: Client, limited: Client, method: str, path: str, body: Any) -> None:
    """R91: `management` lets in, and no further."""
    before = api.get("definitions")
    reply = limited.request(method, path, body)
    assert (reply.status, reply.document["error"]) == (401, "not_authorised")
    assert api.get("definitions") == before


@contextmanager
def logged_in(broker: Broker, api: Client, tags: str) -> Iterator[Client]:
    """The API as somebody with these tags, and permissions nowhere."""
    assert api.request("PUT", "users/other", {"password": "o", "tags": tags}).status == 201
    with client(broker, "other", "o") as found:
        yield found


@pytest.mark.row("R115", "R91")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "policies/%2F/p", {"pattern": "a", "definition": {"expires": 1}}, 201),
        ("GET", "policies/%2F", None, 200),
        ("GET", "parameters/shovel/%2F", None, 200),
        ("DELETE", "parameters/shovel/%2F/s", None, 404),
        ("PUT", "queues/%2F/q", {}, 401),
    ],
)
def test_administrator_sets_policies_without_permissions_of_its_own(
    broker: Broker, api: Client, method: str, path: str, body: Any, status: int
) -> None:
    """As with RabbitMQ 3.10.8, which asks for permissions where something is declared."""
    with logged_in(broker, api, "administrator") as administrator:
        assert administrator.request(method, path, body).status == status


@pytest.mark.row("R115", "R91")
@pytest.mark.parametrize("tags", ["management", "monitoring"])
@pytest.mark.parametrize("path", ["vhosts/%2F/permissions", "vhosts/%2F/topic-permissions"])
def test_what_others_may_do_is_for_administrators(
    broker: Broker, api: Client, limited: Client, tags: str, path: str
) -> None:
    """401 from RabbitMQ 3.10.8 as well."""
    with logged_in(broker, api, tags) as other:
        assert other.request("GET", path).status == 401
    assert limited.request("GET", path).status == 401


@pytest.mark.row("R111", "R92")
def test_permissions_hold_for_what_is_declared_over_http(api: Client, limited: Client) -> None:
    api.request("PUT", "permissions/%2F/clerk", {"configure": "^mine", "write": "^mine", "read": ""})
    assert limited.request("PUT", "queues/%2F/mine", {}).status == 201
    refused = limited.request("PUT", "queues/%2F/theirs", {})
    assert refused.status == 401
    assert refused.document["reason"] == "access to queue 'theirs' in vhost '/' refused for user 'clerk'"
    api.request("PUT", "vhosts/other", {})
    assert limited.request("PUT", "queues/other/mine", {}).status == 401


@pytest.mark.row("R111", "R112")
def test_queues_and_exchanges_are_declared_emptied_and_deleted(broker: Broker, api: Client) -> None:
    queue = {"durable": True, "arguments": {"x-max-length": 10}}
    assert api.request("PUT", "queues/%2F/q", queue).status == 201
    assert api.request("PUT", "queues/%2F/q", queue).status == 204
    reply = api.request("PUT", "queues/%2F/q", {"durable": False, "arguments": {"x-max-length": 10}})
    assert reply.document["reason"] == (
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"
    )
    message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
    api.request("POST", "exchanges/%2F/amq.default/publish", message)
    assert "not empty" in api.request("DELETE", "queues/%2F/q?if-empty=true").document["reason"]
    assert broker.queue("q").ready == 1
    assert api.request("DELETE", "queues/%2F/q/contents").status == 204
    assert broker.queue("q").ready == 0
    assert api.request("POST", "queues/%2F/q/actions", {"action": "sync"}).status == 204
    assert api.request("POST", "queues/%2F/q/actions", {"action": "nope"}).status == 400
    assert api.request("DELETE", "queues/%2F/q?if-empty=true").status == 204
    assert api.request("DELETE", "queues/%2F/q").document == MISSING
    assert api.request("PUT", "exchanges/%2F/e", {"type": "topic"}).status == 201
    assert api.request("PUT", "exchanges/%2F/e", {"type": "topic"}).status == 204
    assert (
        "inequivalent arg 'type'"
        in api.request("PUT", "exchanges/%2F/e", {"type": "direct"}).document["reason"]
    )
    assert api.request("DELETE", "exchanges/%2F/e").status == 204
    assert api.request("DELETE", "exchanges/%2F/e").document == MISSING


@pytest.mark.row("R113")
def test_bindings_are_made_found_by_their_location_and_removed(api: Client) -> None:
    api.request("PUT", "queues/%2F/q", {})
    api.request("PUT", "exchanges/%2F/e", {"type": "topic"})
    places = []
    for body in ({"routing_key": "a.b"}, {"routing_key": "a.b", "arguments": {"x": 1}}, {}):
        reply = api.request("POST", "bindings/%2F/e/e/q/q", body)
        assert reply.status == 201
        places.append(reply.headers["location"])
    assert (places[0], places[2]) == ("q/a.b", "q/~")
    for place in places:
        assert api.get(f"bindings/%2F/e/e/q/{place}")["properties_key"] == place.partition("/")[2]
        assert api.request("DELETE", f"bindings/%2F/e/e/q/{place}").status == 204
        assert api.request("DELETE", f"bindings/%2F/e/e/q/{place}").document == MISSING
    assert api.get("bindings/%2F/e/e/q/q") == []
    assert api.request("POST", "bindings/%2F/e/e/e/amq.fanout", {"routing_key": "z"}).status == 201
    assert [one["destination"] for one in api.get("exchanges/%2F/e/bindings/source")] == ["amq.fanout"]
    missing = api.request("POST", "bindings/%2F/e/e/q/none", {})
    assert (missing.status, missing.document["reason"]) == (404, "no queue 'none' in vhost '/'")
    assert api.request("POST", "bindings/%2F/e//q/q", {}).status in (401, 404)


@pytest.mark.row("R113")
def test_binding_is_not_taken_for_another_one_with_a_similar_key(api: Client) -> None:
    """RabbitMQ writes `~` as `%7E`, since `~` alone is the empty key; clients encode what is shown."""
    api.request("PUT", "queues/%2F/q", {})
    keys = ["", "~", "a/b", "a%2Fb", "a%252Fb"]
    path = "bindings/%2F/e/amq.direct/q/q"
    places = [api.request("POST", path, {"routing_key": key}).headers["location"] for key in keys]
    for key, place in zip(keys, places, strict=True):
        assert api.get(f"bindings/%2F/e/amq.direct/q/{place}")["routing_key"] == key
    shown = {one["routing_key"]: one["properties_key"] for one in api.get(path)}
    assert shown["~"] == "%7E"
    for key in keys:
        once_more = f"{path}/{quote(shown[key], safe='')}"
        assert api.get(once_more)["routing_key"] == key
        assert api.request("DELETE", once_more).status == 204
        del shown[key]
        assert {one["routing_key"] for one in api.get(path)} == set(shown)


MESSAGE = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
ALL = {"count": 1000, "encoding": "auto"}


def publish(broker: Broker, queue: str, bodies: list[bytes]) -> None:
    """Publish these, and wait until they are in the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    for body in bodies:
        channel.basic_publish("", queue, body)
    channel.queue_declare(queue, passive=True)
    connection.close()


PROPERTIES = {
    "content_type": "text/plain",
    "headers": {"a": 1, "b": "x", "c": True, "d": 1.5, "e": [1, "a"], "f": {"g": 2}},
    "delivery_mode": 2,
    "priority": 3,
    "correlation_id": "c",
    "expiration": "60000",
    "timestamp": 1700000000,
}


@pytest.mark.row("R111", "R112")
def test_message_goes_in_and_comes_out_as_it_was(api: Client) -> None:
    api.request("PUT", "queues/%2F/q", {"durable": True})
    message = {"properties": PROPERTIES, "routing_key": "q", "payload": "hällo", "payload_encoding": "string"}
    reply = api.request("POST", "exchanges/%2F/amq.default/publish", message)
    assert (reply.status, reply.document) == (200, {"routed": True})
    (got,) = api.request(
        "POST", "queues/%2F/q/get", {"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto"}
    ).document
    assert got == {
        "payload_bytes": 6,
        "redelivered": False,
        "exchange": "",
        "routing_key": "q",
        "message_count": 0,
        "properties": PROPERTIES,
        "payload": "hällo",
        "payload_encoding": "string",
    }
    (again,) = api.request(
        "POST",
        "queues/%2F/q/get",
        {"count": 1, "ackmode": "ack_requeue_false", "encoding": "base64", "truncate": 1},
    ).document
    assert (again["redelivered"], again["payload"], again["payload_encoding"]) == (True, "aA==", "base64")
    empty = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    assert api.request("POST", "queues/%2F/q/get", empty).document == []


@pytest.mark.row("R112")
@pytest.mark.parametrize(
    ("exchange", "change", "status", "answer"),
    [
        ("amq.default", {"routing_key": "none"}, 200, {"routed": False}),
        ("none", {}, 400, "404 NOT_FOUND - no exchange 'none' in vhost '/'"),
        ("amq.default", {"payload": "///", "payload_encoding": "base64"}, 400, "payload is not base64"),
        ("amq.default", {"payload_encoding": "nope"}, 400, "unsupported payload_encoding 'nope'"),
        ("amq.default", {"properties": {"priority": "a"}}, 400, "properties: "),
        (
            "amq.default",
            {"properties": {"user_id": "root"}},
            400,
            "406 PRECONDITION_FAILED - user_id property",
        ),
        (
            "amq.default",
            {"properties": {"expiration": "soon"}},
            400,
            "406 PRECONDITION_FAILED - invalid expiration",
        ),
    ],
)
def test_publish_is_answered_as_a_client_would_be(
    api: Client, exchange: str, change: dict[str, Any], status: int, answer: Any
) -> None:
    api.request("PUT", "queues/%2F/q", {})
    message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string", **change}
    reply = api.request("POST", f"exchanges/%2F/{exchange}/publish", message)
    assert reply.status == status
    assert reply.document == answer if status == 200 else reply.document["reason"].startswith(answer), reply


@pytest.mark.row("R111")
def test_all_messages_of_a_queue_move_in_order(broker: Broker, api: Client) -> None:
    for queue in ("from", "to"):
        api.request("PUT", f"queues/%2F/{queue}", {"durable": True})
    for number in range(250):
        message = {
            "properties": {},
            "routing_key": "from",
            "payload": str(number),
            "payload_encoding": "string",
        }
        assert api.request("POST", "exchanges/%2F/amq.default/publish", message).document["routed"]
    assert api.request("POST", "queues/%2F/from/move", {"destination": "to"}).document == {"moved": 250}
    left = broker.queue("from")
    assert (left.ready, left.unacknowledged, broker.queue("to").ready) == (0, 0, 250)
    got = api.request(
        "POST", "queues/%2F/to/get", {"count": 300, "ackmode": "ack_requeue_false", "encoding": "auto"}
    )
    assert [int(one["payload"]) for one in got.document] == list(range(250))
    assert api.request("POST", "queues/%2F/from/move", {"destination": "none"}).status == 404
    assert api.request("POST", "queues/%2F/from/move", {"destination": "from"}).status == 400


@pytest.mark.row("R111", "R47")
def test_what_has_been_moved_is_not_in_the_source_any_more(broker: Broker, api: Client) -> None:
    """Where the destination refuses some, what it has taken leaves; the others keep their order."""
    limited = {"x-max-length": 30, "x-overflow": "reject-publish"}
    api.request("PUT", "queues/%2F/from", {"durable": True})
    api.request("PUT", "queues/%2F/to", {"durable": True, "arguments": limited})
    publish(broker, "from", [b"%d" % number for number in range(80)])
    reply = api.request("POST", "queues/%2F/from/move", {"destination": "to"})
    assert (reply.status, reply.document["reason"]) == (
        400,
        "queue 'to' refused some of the messages; 30 were moved",
    )
    for queue, numbers in (("to", range(30)), ("from", range(30, 80))):
        got = api.request("POST", f"queues/%2F/{queue}/get", {**ALL, "ackmode": "ack_requeue_false"})
        assert [int(one["payload"]) for one in got.document] == list(numbers)


@pytest.mark.row("R111")
def test_others_have_their_turns_while_many_messages_are_got(
    broker: Broker, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory comes at once: a hundred thousand held up all clients for nine seconds."""
    slices = []
    begin = Pace.begin

    async def counted(pace: Pace) -> None:
        slices.append(1)
        await begin(pace)

    monkeypatch.setattr(pace_module, "SLICE_NS", 0)
    monkeypatch.setattr(Pace, "begin", counted)
    api.request("PUT", "queues/%2F/q", {"durable": True})
    api.request("PUT", "queues/%2F/r", {"durable": True})
    publish(broker, "q", [b"x"] * 200)
    assert (
        len(api.request("POST", "queues/%2F/q/get", {**ALL, "ackmode": "ack_requeue_true"}).document) == 200
    )
    assert len(slices) >= 200
    slices.clear()
    assert api.request("POST", "queues/%2F/q/move", {"destination": "r"}).document == {"moved": 200}
    assert len(slices) >= 200


@pytest.mark.row("R111")
def test_answer_with_messages_has_a_bound(
    broker: Broker, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that it says: a message without a body takes room too."""
    monkeypatch.setattr(messages, "GET_BYTES_MAX", 2000)
    api.request("PUT", "queues/%2F/q", {"durable": True})
    publish(broker, "q", [b""] * 100)
    reply = api.request("POST", "queues/%2F/q/get", {**ALL, "ackmode": "ack_requeue_false"})
    assert 5 < len(reply.document) < 20
    assert broker.queue("q").ready == 100 - len(reply.document)


LONG = "x" * 256


@pytest.mark.row("R111", "R112", "R113")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"queues/%2F/{LONG}", {}),
        ("PUT", "queues/%2F/" + "%C3%A9" * 128, {}),
        ("PUT", f"exchanges/%2F/{LONG}", {"type": "direct"}),
        ("POST", "bindings/%2F/e/amq.direct/q/q", {"routing_key": LONG}),
        ("POST", "exchanges/%2F/amq.direct/publish", {**MESSAGE, "routing_key": LONG}),
    ],
)
def test_name_that_no_client_could_say_is_refused(api: Client, method: str, path: str, body: Any) -> None:
    """RabbitMQ 3.10.8 refuses queues so, and takes the others."""
    api.request("PUT", "queues/%2F/q", {})
    reply = api.request(method, path, body)
    assert reply.status == 400
    assert reply.document["reason"].endswith("should be less than 255 bytes, actually was 256")
    assert api.request("POST", f"exchanges/%2F/{LONG}/publish", MESSAGE).status == 400


@pytest.mark.row("R112")
def test_base64_may_have_line_ends(api: Client) -> None:
    """As `base64` and Python's `encodebytes` write it; RabbitMQ 3.10.8 takes it."""
    api.request("PUT", "queues/%2F/q", {})
    body = bytes(range(256))
    message = {**MESSAGE, "payload": base64.encodebytes(body).decode(), "payload_encoding": "base64"}
    assert api.request("POST", "exchanges/%2F/amq.default/publish", message).document == {"routed": True}
    (got,) = api.request("POST", "queues/%2F/q/get", {**ALL, "ackmode": "ack_requeue_false"}).document
    assert (got["payload_encoding"], base64.b64decode(got["payload"])) == ("base64", body)


@pytest.mark.row("R112")
def test_headers_may_be_an_empty_list(api: Client) -> None:
    """As PHP writes an empty object; RabbitMQ takes it."""
    api.request("PUT", "queues/%2F/q", {})
    message = {**MESSAGE, "properties": {"headers": []}}
    reply = api.request("POST", "exchanges/%2F/amq.default/publish", message)
    assert (reply.status, reply.document) == (200, {"routed": True})


LIMITS = "nodes/pillarbox@localhost/limits"


@pytest.mark.row("R73")
def test_limits_of_memory_and_disk_count_from_the_same_moment(broker: Broker, api: Client) -> None:
    """R73: the alarm rings, and ends, with the request that changes the limit."""
    before = api.get("nodes/pillarbox@localhost")["mem_limit"]
    assert api.request("PUT", LIMITS, {"memory_high_watermark": 0, "disk_free_min": "1GB"}).status == 204
    node = api.get("nodes/pillarbox@localhost")
    assert (node["mem_limit"], node["mem_alarm"], node["disk_free_limit"]) == (0, True, 1_000_000_000)
    assert api.request("GET", "health/checks/alarms").status == 503
    parameters = pika.URLParameters(broker.amqp_url)
    parameters.blocked_connection_timeout = 60
    with pika.BlockingConnection(parameters) as connection:
        told: list[Any] = []
        connection.add_on_connection_blocked_callback(lambda _, method: told.append(method.method.reason))
        connection.add_on_connection_unblocked_callback(lambda _, method: told.append("go on"))
        connection.channel().basic_publish("", "nowhere", b"waits")
        while not told:
            connection.process_data_events(10)
        assert api.request("PUT", LIMITS, {"memory_high_watermark": "2GiB"}).status == 204
        while len(told) < 2:
            connection.process_data_events(10)
        assert told == ["low on memory", "go on"]
    assert api.get("nodes/pillarbox@localhost")["mem_limit"] == 2 << 30
    assert api.request("PUT", LIMITS, {"memory_high_watermark": 0.4, "disk_free_relative": 0}).status == 204
    node = api.get("nodes/pillarbox@localhost")
    assert (node["mem_limit"], node["mem_alarm"], node["disk_free_limit"]) == (before, False, 0)


@pytest.mark.row("R73")
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"memory_high_watermark": "much"}, "memory_high_watermark must be a share of the memory or a size"),
        ({"memory_high_watermark": -1}, "memory_high_watermark must be"),
        ({"disk_free_min": "-1"}, "disk_free_min must be a size"),
        ({"disk_free_relative": -1}, "disk_free_relative must be from 0 to 1000"),
        ({"disk_free_min": []}, "Expected `int | str | null`, got `array`"),
    ],
)
def test_wrong_limits_change_nothing(api: Client, body: dict[str, Any], complaint: str) -> None:
    before = api.get("nodes/pillarbox@localhost")
    reply = api.request("PUT", LIMITS, {"memory_high_watermark": 0, **body})
    assert reply.status == 400
    assert complaint in reply.document["reason"]
    after = api.get("nodes/pillarbox@localhost")
    assert all(after[key] == before[key] for key in ("mem_limit", "disk_free_limit"))
    assert api.request("PUT", "nodes/other/limits", {}).status == 404


@pytest.mark.row("R98", "R116")
def test_import_tells_what_was_left_out(api: Client) -> None:
    """R98: 200 with sentences instead of 204; everything else was added."""
    api.request("PUT", "queues/%2F/differs", {"durable": True})
    differs = {"name": "differs", "durable": False, "vhost": "/"}
    reply = api.request("POST", "definitions", {"queues": [differs, {**differs, "name": "besides"}]})
    assert reply.status == 200
    (told,) = reply.document["left_out"]
    assert told.startswith("queues[0] (differs) is left out: inequivalent arg 'durable'")
    assert {one["name"] for one in api.get("queues")} == {"differs", "besides"}
    again = api.request("POST", "definitions/%2F", {"queues": [{"name": "differs", "durable": False}]})
    assert again.document == reply.document


@pytest.mark.row("R116")
def test_definitions_go_out_and_come_in_as_json_and_as_a_form(api: Client) -> None:
    api.request("PUT", "queues/%2F/q", {"durable": True})
    document = api.get("definitions")
    assert [one["name"] for one in document["queues"]] == ["q"]
    api.request("DELETE", "queues/%2F/q")
    assert api.request("POST", "definitions", document).status == 204
    assert api.get("definitions") == document
    api.request("DELETE", "queues/%2F/q")
    form = (
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="d.json"\r\n'
        b"Content-Type: application/json\r\n\r\n" + json.dumps(document).encode() + b"\r\n--cut--\r\n"
    )
    kind = {"content-type": "multipart/form-data; boundary=cut"}
    assert api.request("POST", "definitions", form, kind).status == 204
    assert api.get("definitions") == document
    download = api.request("GET", "definitions/%2F?download=my.json")
    assert download.headers["content-disposition"] == 'attachment; filename="my.json"'
    api.request("PUT", "vhosts/copy", {})
    assert api.request("POST", "definitions/copy", download.document).status == 204
    assert api.get("definitions/copy") == download.document


@pytest.mark.row("R115", "R15")
def test_limits_are_set_one_by_one(api: Client) -> None:
    for kind, owner in (("vhost", "%2F"), ("user", "guest")):
        path = f"{kind}-limits/{owner}"
        assert api.request("PUT", f"{path}/max-connections", {"value": 100}).status == 204
        (shown,) = api.get(path)
        assert shown["value"] == {"max-connections": 100}
        assert api.get(f"{kind}-limits") == [shown]
        assert api.request("DELETE", f"{path}/max-connections").status == 204
        assert api.get(f"{kind}-limits") == []


@pytest.mark.row("R117")
@pytest.mark.parametrize(
    ("check", "status", "word"),
    [
        ("alarms", 200, "ok"),
        ("local-alarms", 200, "ok"),
        ("virtual-hosts", 200, "ok"),
        ("ready-to-serve-clients", 200, "ok"),
        ("node-is-quorum-critical", 200, "ok"),
        ("protocol-listener/amqp", 200, "ok"),
        ("protocol-listener/mqtt", 503, "failed"),
        ("port-listener/1", 503, "failed"),
        ("certificate-expiration/1/months", 200, "ok"),
    ],
)
def test_health_checks(api: Client, check: str, status: int, word: str) -> None:
    reply = api.request("GET", f"health/checks/{check}")
    assert (reply.status, reply.document["status"]) == (status, word)


@pytest.mark.row("R117")
def test_health_check_tells_that_no_connection_more_would_be_let_in() -> None:
    """With the fields of RabbitMQ 4; it said yes where the next client was refused."""
    with Broker(management_port=0, connection_max=1) as broker, client(broker) as api:
        path = "health/checks/below-node-connection-limit"
        assert api.get(path) == {"status": "ok", "limit": 1, "connections": 0}
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)):
            reply = api.request("GET", path)
            assert (reply.status, reply.document["status"]) == (503, "failed")
            assert reply.document["reason"] == "node connection limit is reached"


@pytest.mark.row("R118")
def test_features_are_answered_as_of_one_node(api: Client) -> None:
    flags = {flag["name"]: flag["state"] for flag in api.get("feature-flags")}
    assert flags["quorum_queue"] == flags["stream_queue"] == "enabled"
    assert api.request("PUT", "feature-flags/quorum_queue/enable").status == 204
    assert api.request("PUT", "feature-flags/nope/enable").status == 404
    assert api.get("deprecated-features/used") == []
    assert api.request("POST", "rebalance/queues").status == 204


@pytest.mark.row("R94", "R118")
def test_hashed_password_is_one_to_log_in_with(broker: Broker, api: Client) -> None:
    hashed = api.get("auth/hash_password/se%2Fcret")["ok"]
    api.request("PUT", "users/hashed", {"password_hash": hashed, "tags": "management"})
    with client(broker, "hashed", "se/cret") as found:
        assert found.get("whoami") == {"name": "hashed", "tags": ["management"]}


@pytest.mark.row("R117")
def test_older_health_checks(api: Client, broker: Broker) -> None:
    assert api.get("aliveness-test/%2F") == {"status": "ok"}
    assert broker.queue("aliveness-test").ready == 0
    assert api.get("healthchecks/node") == {"status": "ok"}
    assert api.request("GET", "health/checks/certificate-expiration/x/months").status == 400
