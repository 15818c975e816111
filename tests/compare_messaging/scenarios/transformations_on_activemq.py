"""Maps and objects in XML and in JSON, as STOMP clients of ActiveMQ send and get them (A11).

Left out are the order of a map's entries, which ActiveMQ changes, and the words of errors, which are Java's.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from tests.compare_messaging.case import Case
from tests.compare_messaging.stomp_tools import Client
from tests.transcripts.registry import scenario

PROTOCOL = "stomp-activemq"
PEER = "activemq"

MAP_JSON = json.dumps(
    {
        "map": {
            "entry": [
                {"string": ["name", "Dejan <&> \"ü\" 'x'/y"]},
                {"string": "int", "int": 7},
                {"string": "long", "long": 5_000_000_000},
                {"string": "whole", "double": 2.0},
                {"string": "double", "double": 1.5},
                {"string": "large", "float": 1e10},
                {"string": "truth", "boolean": True},
                {"string": ["digits", "0123"]},
                {"string": ["number", "123"]},
                {"string": ["empty", ""]},
                {"string": "none", "null": ""},
                {"string": "list", "list": {"string": ["a", "b"]}},
            ]
        }
    }
)
MAP_XML = (
    "<map><entry><string>name</string><string>Dejan</string></entry>"
    "<entry><string>n</string><int>7</int></entry>\n  <entry><string>s</string><short>3</short></entry></map>"
)
SINGLE = '{"map":{"entry":{"string":["name","Dejan"]}}}'
EMPTY = '{"map":""}'
WANTED = (
    "jms-map-json",
    "jms-map-xml",
    "jms-json",
    "jms-xml",
    "jms-object-json",
    "jms-byte",
    "jms-advisory-json",
)


def unordered(told: str, body: str) -> Any:
    """A body without the order of what it has."""
    if body.startswith("<"):
        root = ElementTree.fromstring(body)
        return sorted([ElementTree.tostring(one, "unicode").strip() for one in root]), body.count("\n")
    found = json.loads(body)
    entries = found["map"]["entry"] if isinstance(found.get("map"), dict) else found
    return sorted(map(json.dumps, entries if isinstance(entries, list) else [entries]))


def got(case: Case, name: str, sent: str, body: str, wanted: str) -> None:
    client = Client(case)
    client.send(f"/queue/{name}", body, transformation=sent)
    client.subscribe(f"/queue/{name}", transformation=wanted)
    headers, found = client.message()
    told = headers["transformation"]
    case.saw(f"{sent} as {wanted}", told, "transformation-error" in headers, unordered(told, found))
    client.leave()


@scenario("A11")
def maps(case: Case) -> None:
    for sent, body in (("jms-map-json", MAP_JSON), ("jms-map-xml", MAP_XML)):
        for wanted in WANTED:
            got(case, f"{case.name('m')}-{sent}-{wanted}", sent, body, wanted)
    for number, body in enumerate((SINGLE, EMPTY)):
        for wanted in ("jms-json", "jms-xml"):
            got(case, f"{case.name('s')}-{number}-{wanted}", "jms-map-json", body, wanted)


@scenario("A11")
def objects(case: Case) -> None:
    for wanted in ("jms-object-json", "jms-object-xml", "jms-json", "jms-xml", "jms-byte"):
        client, name = Client(case), f"/queue/{case.name('o')}-{wanted}"
        client.send(name, '{"string":"hello"}', transformation="jms-object-json")
        client.subscribe(name, transformation=wanted)
        headers, body = client.message()
        case.saw(wanted, headers["transformation"], body)
        client.leave()


@scenario("A11")
def what_is_none_is_a_text(case: Case) -> None:
    bodies = [
        ("jms-map-xml", "<map"),
        ("jms-map-xml", "<string>a</string>"),
        ("jms-map-json", "nonsense"),
        ("jms-map-json", '{"city":"Belgrade","name":"Dejan"}'),
        ("jms-map-xml", "<map><entry><string>a</string><org.foo.Pojo/></entry></map>"),
        ("jms-xml", "<x/>"),
        ("jms-json", "{}"),
        ("jms-advisory-json", "{}"),
        ("jms-byte", "bytes"),
        ("unheard-of", "text"),
    ]
    client, name = Client(case), f"/queue/{case.name('t')}"
    for sent, body in bodies:
        client.send(name, body, transformation=sent)
    client.subscribe(name, "1", transformation="jms-xml")
    for sent, _ in bodies:
        headers, body = client.message()
        case.saw(sent, headers["transformation"], "transformation-error" in headers, body)
    client.connection.unsubscribe("1")
    for sent, body in bodies:
        client.send(name, body, transformation=sent)
    client.subscribe(name, "2")
    for sent, _ in bodies:
        headers, body = client.message()
        case.saw(f"{sent} to one who wants nothing", headers["transformation"], body)
    client.leave()


@scenario("A11")
def bytes_stay(case: Case) -> None:
    client, name = Client(case), f"/queue/{case.name('b')}"
    said = {"content-length": str(len(SINGLE))}
    client.connection.send(name, SINGLE, headers={"transformation": "jms-map-json", **said})
    client.subscribe(name, transformation="jms-xml")
    headers, body = client.message()
    case.saw("sized", headers["transformation"], body)
    client.leave()
