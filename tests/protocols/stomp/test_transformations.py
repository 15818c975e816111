"""Maps and objects of JMS in XML and in JSON, as a SEND says and as a subscription wants (A11).

What they look like is compared with ActiveMQ:
`tests/compare_messaging/scenarios/transformations_on_activemq.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.protocols.stomp import structures
from tests.protocols.stomp.talking import Got, Talking

MAP_JSON = '{"map":{"entry":[{"string":["name","Dejan"]},{"string":"n","int":7},{"string":["empty",""]}]}}'
MAP_XML = """<map>
  <entry>
    <string>name</string>
    <string>Dejan</string>
  </entry>
  <entry>
    <string>n</string>
    <int>7</int>
  </entry>
  <entry>
    <string>empty</string>
    <string></string>
  </entry>
</map>"""


@pytest.fixture
def client(activemq: Broker, connected: Callable[..., Talking]) -> Talking:
    return connected(to=activemq)


def exchange(client: Talking, name: str, body: str, sent: str | None, wanted: str | None, **more: str) -> Got:
    """What a subscription that wants this gets of what was sent as that."""
    said = {"transformation": sent} if sent else {}
    client.send(f"/queue/{name}", body, **said, **more)
    asked = {"transformation": wanted} if wanted else {}
    client.say("SUBSCRIBE", {"id": "t", "destination": f"/queue/{name}"} | asked)
    got = client.message()
    client.done("UNSUBSCRIBE", {"id": "t"})
    return got


@pytest.mark.row("A11")
@pytest.mark.parametrize(
    ("wanted", "told", "body"),
    [
        ("jms-map-xml", "jms-map-xml", MAP_XML),
        ("jms-xml", "jms-map-xml", MAP_XML),
        ("jms-object-xml", "jms-object-xml", MAP_XML),
        ("jms-byte", "jms-byte", MAP_XML),
        ("jms-map-json", "jms-map-json", MAP_JSON),
        ("jms-json", "jms-map-json", MAP_JSON),
        ("jms-advisory-json", "jms-advisory-json", MAP_JSON),
    ],
)
@pytest.mark.parametrize(("sent", "as_sent"), [("jms-map-json", MAP_JSON), ("jms-map-xml", MAP_XML)])
def test_map_comes_in_the_form_that_is_wanted(
    client: Talking, name: str, sent: str, as_sent: str, wanted: str, told: str, body: str
) -> None:
    got = exchange(client, name, as_sent, sent, wanted)
    assert got.headers["transformation"] == told
    assert got.body.decode() == body
    assert "x-jms-body" not in got.headers


@pytest.mark.row("A11")
def test_whoever_wants_nothing_gets_what_was_sent(activemq: Broker, client: Talking, name: str) -> None:
    got = exchange(client, name, MAP_JSON, "jms-map-json", None)
    assert (got.headers["transformation"], got.body.decode()) == ("jms-map-json", MAP_JSON)
    client.done("SEND", {"destination": f"/queue/{name}", "transformation": "jms-map-xml"}, MAP_XML)
    with pika.BlockingConnection(pika.URLParameters(activemq.amqp_url)) as connection:
        _, properties, body = connection.channel().basic_get(name, auto_ack=True)
    assert (body.decode(), properties.headers["x-jms-body"]) == (MAP_XML, "map")


@pytest.mark.row("A11")
def test_object_is_any_structure_and_nothing_is_made_of_it(client: Talking, name: str) -> None:
    document = (
        "<org.foo.Pojo><name>Dejan</name><tags><string>a</string><string>b</string></tags></org.foo.Pojo>"
    )
    got = exchange(client, name, document, "jms-object-xml", "jms-json")
    assert got.headers["transformation"] == "jms-object-json"
    assert json.loads(got.body) == {"org.foo.Pojo": {"name": "Dejan", "tags": {"string": ["a", "b"]}}}


BILLION = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><map><entry><string>&b;</string>'
)


@pytest.mark.row("A11")
@pytest.mark.parametrize(
    ("sent", "body", "reason"),
    [
        ("jms-map-xml", "<map", "no XML"),
        ("jms-map-xml", BILLION, "a document type is declared"),
        ("jms-map-xml", "<string>a</string>", "a string is no map"),
        ("jms-map-xml", "<map><entry><string>a</string></entry></map>", "a name and a value"),
        ("jms-map-xml", "<map><entry><int>1</int><int>1</int></entry></map>", "named by a string"),
        ("jms-map-xml", "<map><entry><string>a</string><int>x</int></entry></map>", "'x' is no int"),
        ("jms-map-xml", "<map><entry><string>a</string><byte>200</byte></entry></map>", "is no byte"),
        ("jms-map-xml", "<map><entry><string>a</string><org.Foo/></entry></map>", "org.Foo: no type"),
        ("jms-map-xml", "<a>" * 100 + "</a>" * 100, "stand in each other"),
        ("jms-map-json", "nonsense", "no JSON"),
        ("jms-map-json", "[" * 10_000, "no JSON"),
        ("jms-map-json", '{"a":{"b":[[1]]}}', "a list or an object where a text was expected"),
        ("jms-map-json", '{"city":"Belgrade","name":"Dejan"}', "no object of one name"),
        ("jms-object-json", '{"<evil>":"x"}', "is no name of an element"),
        ("jms-object-xml", "<a>" + "x" * structures.BODY_BYTES_MAX + "</a>", "it is larger than"),
        ("jms-xml", "<a/>", "Unknown transformation: jms-xml"),
    ],
)
def test_body_that_is_no_such_structure_is_a_text(
    client: Talking, name: str, sent: str, body: str, reason: str
) -> None:
    got = exchange(client, name, body, sent, "jms-map-json")
    assert got.body.decode() == body
    assert reason in got.headers["transformation-error"]
    # So a client that sends any JSON as a map, as PHP's do, gets it back as one.
    assert got.headers["transformation"] == "jms-map-json"


@pytest.mark.row("A11")
@pytest.mark.parametrize("wanted", ["jms-json", "jms-xml", None])
def test_bytes_stay_what_they_are(client: Talking, name: str, wanted: str | None) -> None:
    got = exchange(client, name, MAP_JSON, "jms-map-json", wanted, content_length=str(len(MAP_JSON)))
    assert (got.headers["transformation"], got.body.decode()) == ("jms-map-json", MAP_JSON)


@pytest.mark.row("A11")
def test_messages_of_others_come_as_they_are(activemq: Broker, client: Talking, name: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(activemq.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        forged = pika.BasicProperties(headers={"x-jms-body": "map", "transformation": "jms-map-json"})
        for properties, body in ((None, b"plain"), (forged, b"forged"), (forged, b'{"string":"a"}')):
            channel.basic_publish("", name, body, properties)
    client.say("SUBSCRIBE", {"id": "t", "destination": f"/queue/{name}", "transformation": "jms-xml"})
    assert [client.message().body for _ in range(3)] == [b"plain", b"forged", b"<string>a</string>"]


@pytest.mark.row("A11", "A8")
def test_selector_and_transformation_count_together(client: Talking, name: str) -> None:
    wanted = {"selector": "kind = 'b'", "transformation": "jms-json"}
    client.done("SUBSCRIBE", {"id": "t", "destination": f"/topic/{name}"} | wanted)
    for kind in "ab":
        client.send(f"/topic/{name}", MAP_XML, transformation="jms-map-xml", kind=kind)
    got = client.message()
    assert (got.headers["kind"], got.body.decode()) == ("b", MAP_JSON)


@pytest.mark.row("A11")
def test_structure_outlives_a_transaction_a_delay_and_a_dead_letter(client: Talking, name: str) -> None:
    client.say("BEGIN", {"transaction": "1"})
    said = {"transaction": "1", "transformation": "jms-map-json", "persistent": "true"}
    client.send(f"/queue/{name}", MAP_JSON, **said, AMQ_SCHEDULED_DELAY="1", mine=name)
    client.done("COMMIT", {"transaction": "1"})
    client.say("SUBSCRIBE", {"id": "1", "destination": f"/queue/{name}", "ack": "client-individual"})
    client.done("NACK", {"id": client.message().headers["ack"]})
    wanted = {"selector": f"mine = '{name}'", "transformation": "jms-xml"}
    client.say("SUBSCRIBE", {"id": "2", "destination": "/queue/ActiveMQ.DLQ"} | wanted)
    assert client.message().body.decode() == MAP_XML


@pytest.mark.row("A11")
def test_dialect_of_rabbitmq_has_no_transformations(
    broker: Broker, connected: Callable[..., Talking], name: str
) -> None:
    got = exchange(connected(), name, MAP_JSON, "jms-map-json", "jms-xml")
    assert (got.headers["transformation"], got.body.decode()) == ("jms-map-json", MAP_JSON)


@pytest.mark.row("A11")
@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (2.0, "2.0"),
        (1.5, "1.5"),
        (1e10, "1.0E10"),
        (12345678.9, "1.23456789E7"),
        (0.0001, "1.0E-4"),
        (0.0, "0.0"),
    ],
)
def test_decimals_are_spelled_as_in_java(value: float, spelled: str) -> None:
    assert structures.spell_double(value) == spelled


@pytest.mark.row("A11")
@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("007", "007"), ("true", True), ("2.0", 2), ("1.50", "1.50"), ("1.0E10", 1e10), ("-0", "-0")],
)
def test_text_that_spells_a_number_is_one_in_json(text: str, value: Any) -> None:
    assert json.loads(structures.write_json(structures.Element("string", text))) == {"string": value}
