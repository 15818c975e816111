"""Contexts: subjects, ids and settings of their own under one registry, by name and by path (K79).

Source: Confluent, "Schema Registry API Reference", "Contexts". Names and orders are those of Confluent's own
tests of contexts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from tests.registry.asking import STRING, Asking, record
from tests.registry.needs import CLIENTS, REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

INT = '"int"'


def test_each_context_counts_its_ids_and_versions(ask: Asking) -> None:
    assert ask.register("x", STRING) == 1
    assert ask.register("x2", INT) == 2
    assert ask.register(":.ctx:x", INT) == 1
    assert ask.register(":.ctx:x", INT) == 1
    assert ask.register(":.other:y", STRING) == 1
    assert ask.get("/contexts") == [".", ".ctx", ".other"]
    assert ask.get("/contexts?contextPrefix=.c&limit=5") == [".ctx"]
    assert ask.get("/contexts?offset=1&limit=1") == [".ctx"]
    assert ask.get("/subjects/:.ctx:x/versions/1")["subject"] == ":.ctx:x"
    assert ask.get("/schemas/ids/1")["schema"] == STRING
    assert ask.get("/schemas/ids/1?subject=:.ctx:")["schema"] == INT
    assert ask.get("/schemas/ids/1?subject=:.ctx:x")["schema"] == INT
    assert ask("GET", "/schemas/ids/2?subject=:.ctx:").code == (404, 40403)
    assert ask.get("/schemas/ids/1/subjects?subject=:.ctx:") == [":.ctx:x"]
    assert ask.get("/schemas/ids/1?subject=:.ctx:&fetchMaxId=true")["maxId"] == 1
    guid = ask.get("/subjects/x2/versions/1")["guid"]
    ids = [{"context": ".", "id": 2}, {"context": ".ctx", "id": 1}]
    assert ask.get(f"/schemas/guids/{guid}/ids") == ids
    assert ask("GET", "/schemas/guids/7/ids").code == (404, 40403)


def test_lists_are_of_all_contexts_of_one_or_of_the_default_one(ask: Asking) -> None:
    for name in (":.ctx1:t1", ":.ctx2:t2", ":.ctx3:t1", "t1"):
        ask.register(name, STRING)
    assert ask.get("/subjects") == [":.ctx1:t1", ":.ctx2:t2", ":.ctx3:t1", "t1"]
    assert ask.get("/subjects?subjectPrefix=:*:") == [":.ctx1:t1", ":.ctx2:t2", ":.ctx3:t1", "t1"]
    assert ask.get("/subjects?subjectPrefix=") == ["t1"]
    assert ask.get("/subjects?subjectPrefix=:.ctx1:") == [":.ctx1:t1"]
    assert ask.get("/subjects?subjectPrefix=:.ctx1") == []
    assert len(ask.get("/schemas?subjectPrefix=:*:t1")) == 3
    assert len(ask.get("/schemas?subjectPrefix=:*:t2")) == 1
    assert len(ask.get("/schemas")) == 1


def test_a_subject_without_a_context_is_found_in_any(ask: Asking) -> None:
    ask.register("x", STRING)
    ask.register(":.ctx:y", INT)
    assert ask.get("/subjects/y/versions/1")["subject"] == ":.ctx:y"
    assert ask.get("/subjects/y/versions/latest/schema") == "int"
    assert ask("POST", "/subjects/y", {"schema": INT}).document["subject"] == ":.ctx:y"
    assert ask("POST", "/subjects/y", {"schema": STRING}).code == (404, 40403)
    assert ask.get("/schemas/ids/1?subject=y")["schema"] == INT
    assert ask.get("/schemas/ids/1?subject=z")["schema"] == STRING
    assert ask("GET", "/subjects/y/versions").code == (404, 40401)
    assert ask("GET", "/subjects/:.other:y/versions/1").code == (404, 40401)


@pytest.mark.parametrize("name", [".ctx", "ctx", ":.ctx:", "%3A.ctx%3A"])
def test_a_path_may_begin_with_the_context(ask: Asking, name: str) -> None:
    inside = f"/contexts/{name}"
    ask.register("x", STRING)
    body = {"schema": INT}
    assert ask("POST", f"{inside}/subjects/x/versions", body).document["id"] == 1
    assert ask.get(f"{inside}/subjects") == [":.ctx:x"]
    assert ask.get(f"{inside}/subjects?subjectPrefix=y") == []
    assert ask.get(f"{inside}/subjects?subjectPrefix=:.:") == ["x"]
    assert ask.get(f"{inside}/subjects/x/versions/1")["subject"] == ":.ctx:x"
    assert ask.get(f"{inside}/subjects/:.:x/versions/1")["subject"] == "x"
    assert ask.get(f"{inside}/schemas/ids/1")["schema"] == INT
    assert ask.get(f"{inside}/schemas/ids/1?subject=x")["schema"] == INT
    assert [one["subject"] for one in ask.get(f"{inside}/schemas")] == [":.ctx:x"]
    assert ask.get(f"{inside}/contexts") == [".", ".ctx"]
    compared = ask("POST", f"{inside}/compatibility/subjects/x/versions/latest", {"schema": STRING})
    assert compared.document == {"is_compatible": False}
    assert ask("PUT", f"{inside}/config", {"compatibility": "NONE"}).status == 200
    assert ask("PUT", f"{inside}/config/x", {"normalize": True}).status == 200
    assert ask.get("/config/:.ctx:") == {"compatibilityLevel": "NONE"}
    assert ask.get(f"{inside}/config/x") == {"compatibilityLevel": "NONE", "normalize": True}
    assert ask.get("/config") == {"compatibilityLevel": "BACKWARD"}
    assert ask("PUT", f"{inside}/mode", {"mode": "READONLY"}).status == 200
    assert ask("POST", f"{inside}/subjects/x/versions", body).code == (422, 42205)
    assert ask.get("/mode") == {"mode": "READWRITE"}
    assert ask("GET", f"{inside}/nothing").code == (404, 404)


def test_the_default_context_may_be_named(ask: Asking) -> None:
    ask.register("x", STRING)
    ask.register(":.ctx:x", INT)
    for name in (".", ":.:"):
        assert ask.get(f"/contexts/{name}/subjects") == ["x"]
        assert ask.get(f"/contexts/{name}/schemas/ids/1")["schema"] == STRING
    assert ask("GET", "/contexts/a:b/subjects").code == (400, 400)


def test_settings_of_a_context_come_before_those_of_all(ask: Asking) -> None:
    ask("PUT", "/config", {"compatibility": "FULL"})
    everywhere = ":.__GLOBAL:"
    assert ask.get(f"/config/{everywhere}") == {"compatibilityLevel": "BACKWARD"}
    assert ask("PUT", f"/config/{everywhere}", {"compatibility": "FORWARD"}).status == 200
    assert ask.get("/config/x?defaultToGlobal=true") == {"compatibilityLevel": "FULL"}
    inside = "/config/:.ctx:x?defaultToGlobal=true"
    assert ask.get(inside) == {"compatibilityLevel": "FORWARD"}
    assert ask("GET", "/config/:.ctx:").code == (404, 40408)
    ask("PUT", "/config/:.ctx:", {"compatibility": "NONE"})
    assert ask.get(inside) == {"compatibilityLevel": "NONE"}
    ask("PUT", f"/mode/{everywhere}", {"mode": "READONLY"})
    assert ask.get("/mode/:.ctx:x?defaultToGlobal=true") == {"mode": "READONLY"}
    ask("PUT", "/mode/:.ctx:x", {"mode": "READWRITE"})
    assert ask("POST", "/subjects/:.ctx:x/versions", {"schema": STRING}).status == 200
    ask("PUT", f"/mode/{everywhere}", {"mode": "READONLY_OVERRIDE"})
    assert ask("POST", "/subjects/:.ctx:x/versions", {"schema": INT}).code == (422, 42205)


def test_references_lead_within_the_context_unless_they_name_another(ask: Asking) -> None:
    for context in ("", ":.ctx:", ":.other:"):
        ask.register(f"{context}inner", record("Inner", f"a{len(context)}"))
    outer = record("Outer", {"name": "i", "type": "Inner"})
    own = [{"name": "Inner", "subject": "inner", "version": 1}]
    foreign = [{"name": "Inner", "subject": ":.other:inner", "version": 1}]
    assert ask.register(":.ctx:outer", outer, references=own) == 2
    assert ask.register(":.ctx:third", outer, references=foreign) == 3
    assert ask.get("/schemas/ids/2?subject=:.ctx:")["references"] == own
    assert ask.get("/subjects/:.ctx:inner/versions/1/referencedby") == [2]
    assert ask.get("/subjects/:.other:inner/versions/1/referencedby") == [3]
    assert ask.get("/subjects/inner/versions/1/referencedby") == []
    assert ask("DELETE", "/subjects/:.other:inner").code == (422, 42206)
    assert ask("DELETE", "/subjects/inner").document == [1]
    missing = {"schema": outer, "references": own}
    assert ask("POST", "/subjects/:.empty:outer/versions", missing).code == (422, 42201)
    assert ask.get("/contexts") == [".", ".ctx", ".other"], "nothing was registered in another one"


def test_an_empty_context_can_be_deleted(ask: Asking) -> None:
    ask.register(":.ctx:x", STRING)
    assert ask("DELETE", "/contexts/.ctx").code == (422, 42211)
    assert ask("DELETE", "/contexts/.").code == (422, 42211)
    ask("DELETE", "/subjects/:.ctx:x")
    assert ask("DELETE", "/contexts/.ctx").code == (422, 42211)
    ask("DELETE", "/subjects/:.ctx:x?permanent=true")
    assert ask.get("/contexts") == [".", ".ctx"]
    assert ask("DELETE", "/contexts/.ctx").status == 204
    assert ask.get("/contexts") == ["."]
    assert ask("DELETE", "/contexts/.ctx").status == 204
    assert ask.register(":.ctx:x", INT) == 1


def test_an_import_looks_at_its_context_only(ask: Asking) -> None:
    ask.register("x", STRING)
    assert ask("PUT", "/mode/:.ctx:", {"mode": "IMPORT"}).status == 200
    imported = {"schema": INT, "id": 1, "version": 4}
    assert ask("POST", "/subjects/:.ctx:x/versions", imported).document["id"] == 1
    assert ask("POST", "/subjects/:.ctx:y/versions", imported | {"schema": STRING}).code == (422, 42205)
    assert ask.get("/subjects/:.ctx:x/versions") == [4]
    assert ask("PUT", "/mode", {"mode": "IMPORT"}).code == (422, 42205)


def test_who_may_do_what_in_a_context(broker: Broker, ask: Asking) -> None:
    """The name of a subject is with its context; what is set for all of it is for administrators."""

    def people(server: Any) -> None:
        for name, right in (("inside", "^:\\.ctx:"), ("outside", "^orders")):
            server.core.add_user(name, "p")
            server.core.set_permission(Permission(name, "/", right, right, ""))

    broker.call(people)
    body, level = {"schema": STRING}, {"compatibility": "NONE"}
    for path in ("/subjects/:.ctx:orders/versions", "/contexts/.ctx/subjects/orders/versions"):
        assert ask("POST", path, body, user="outside:p").code == (403, 403)
        assert ask("POST", path, body, user="inside:p").status == 200
    assert ask("PUT", "/contexts/.ctx/config/orders", level, user="inside:p").status == 200
    for path in ("/config/:.ctx:", "/contexts/.ctx/config", "/config/:.__GLOBAL:", "/config/:.:"):
        assert ask("PUT", path, level, user="inside:p").code == (403, 403), path
    assert ask("PUT", "/mode/:.ctx:", {"mode": "READONLY"}, user="inside:p").code == (403, 403)
    assert ask("DELETE", "/contexts/.ctx", user="inside:p").code == (403, 403)
    # An alias gives nobody a right to what it stands for.
    assert ask("PUT", "/config/orders", {"alias": ":.ctx:orders"}, user="outside:p").status == 200
    assert ask("DELETE", "/subjects/orders", user="outside:p").code == (403, 403)


def test_a_restart_finds_contexts(tmp_path: Path) -> None:
    def seen(ask: Asking) -> list[Any]:
        paths = ("/contexts", "/subjects", "/schemas?subjectPrefix=:*:", "/config/:.ctx:", "/config/:.ctx:x")
        return [ask.get(path) for path in (*paths, "/subjects/:.ctx:inner/versions/1/referencedby")]

    with Broker(str(tmp_path), schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        ask.register("x", STRING)
        for schema in (STRING, INT):
            ask("PUT", "/config/:.ctx:", {"compatibility": "NONE"})
            ask.register(":.ctx:x", schema)
        ask.register(":.ctx:inner", record("Inner", "a"))
        reference = {"name": "Inner", "subject": "inner", "version": 1}
        ask.register(":.ctx:outer", record("O", {"name": "i", "type": "Inner"}), references=[reference])
        contract = {"properties": {"owner": "me"}}
        rules = {"domainRules": [{"name": "r", "type": "CEL", "mode": "WRITE"}]}
        more = {"defaultMetadata": contract, "overrideRuleSet": rules, "compatibilityGroup": "major"}
        ask("PUT", "/config/:.ctx:x", more | {"alias": "y"})
        before = seen(ask)
    for _ in range(2):
        with Broker(str(tmp_path), schema_registry_port=0) as broker:
            ask = Asking(broker.schema_registry_url)
            assert seen(ask) == before
    with Broker(str(tmp_path), schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        assert ask.register(":.ctx:z", '"double"') == 5
        assert ask.register("z", '"double"') == 2


@CLIENTS
def test_a_client_of_confluents_in_a_context(broker: Broker) -> None:
    """Serializers that know the context by the address of the registry alone; ids are those in it."""
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    where = SerializationContext("orders", MessageField.VALUE)
    outside = SchemaRegistryClient({"url": broker.schema_registry_url})
    for number in range(3):
        outside.register_schema("orders-value", Schema(record("R", *"abc"[:number]), "AVRO"))
        outside.set_compatibility("orders-value", level="NONE")
    inside = SchemaRegistryClient({"url": f"{broker.schema_registry_url}/contexts/.sales"})
    value = AvroSerializer(inside, record("Order", "what"))({"what": "tea"}, where)
    assert value[:5] == b"\0\0\0\0\1"
    assert AvroDeserializer(inside)(value, where) == {"what": "tea"}
    assert inside.get_subjects() == [":.sales:orders-value"]
    assert outside.get_contexts() == [".", ".sales"]
    assert outside.get_versions(":.sales:orders-value") == [1]
    inside.set_compatibility(level="NONE")
    assert inside.get_compatibility(":.sales:") == "NONE"
    assert outside.get_compatibility() == "BACKWARD"
