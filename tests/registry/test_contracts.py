"""Data contracts: metadata and rules of schemas, what subjects give them, aliases, groups of versions (K79).

Source: Confluent, "Data Contracts for Schema Registry"; "Schema Registry API Reference", "Config".
"""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox import Broker
from tests.registry.asking import STRING, Asking, record
from tests.registry.needs import CLIENTS, REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

INT = '"int"'


def rule(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "CEL", "mode": "WRITE", "disabled": False} | more


def owner(name: str, **more: str) -> dict[str, Any]:
    return {"properties": {"owner": name, **more}}


# --- what a schema gets ----------------------------------------------------------------------------------


def test_metadata_and_rules_are_inherited_from_the_last_version(ask: Asking) -> None:
    ask("PUT", "/config", {"compatibility": "NONE"})
    rules = {"domainRules": [rule("r")]}
    ask.register("x", STRING, metadata=owner("me"), ruleSet=rules)
    ask.register("x", INT)
    found = ask.get("/subjects/x/versions/2")
    assert (found["metadata"], found["ruleSet"]) == (owner("me"), rules)
    assert ask.register("x", INT) == found["id"], "it is known by its schema alone"
    assert ask("POST", "/subjects/x", {"schema": INT}).document["version"] == 2
    ask.register("x", '"long"', metadata={})
    assert ask.get("/subjects/x/versions/3")["metadata"] == {}
    assert ask.get("/subjects/x/versions/3")["ruleSet"] == rules


def test_a_version_may_have_other_rules_only(ask: Asking) -> None:
    assert ask("POST", "/subjects/x/versions", {"ruleSet": {}}).code == (422, 42201)
    ask.register("x", STRING)
    said = ask("POST", "/subjects/x/versions", {"ruleSet": {"domainRules": [rule("r")]}})
    assert (said.document["version"], said.document["schema"]) == (2, STRING)
    assert said.document["ruleSet"] == {"domainRules": [rule("r")]}


def test_what_a_subject_gives_its_schemas(ask: Asking) -> None:
    """Defaults come under what the schema says itself, overrides over it; rules count by their names."""
    given = {
        "defaultMetadata": owner("all", kind="order"),
        "overrideMetadata": {"sensitive": ["pin"], "tags": {"R.a": ["PII"]}},
        "defaultRuleSet": {"domainRules": [rule("one", expr="1"), rule("two", expr="1")]},
        "overrideRuleSet": {"domainRules": [rule("three", expr="3")], "migrationRules": []},
    }
    shown = given | {"overrideRuleSet": {"domainRules": [rule("three", expr="3")]}}
    assert ask("PUT", "/config", given).document == shown
    assert ask.get("/config") == shown | {"compatibilityLevel": "BACKWARD"}
    own = {"domainRules": [rule("two", expr="2"), rule("three", expr="2")]}
    identity = ask.register("x", STRING, metadata=owner("me"), ruleSet=own)
    found = ask.get(f"/schemas/ids/{identity}")
    assert found["metadata"] == owner("me", kind="order") | {"sensitive": ["pin"], "tags": {"R.a": ["PII"]}}
    one, two, three = rule("one", expr="1"), rule("two", expr="2"), rule("three", expr="3")
    assert found["ruleSet"] == {"domainRules": [one, two, three]}
    assert ask.register("x", STRING, metadata=owner("me"), ruleSet=own) == identity
    assert ask.register("x", STRING) == identity
    # With the registry, whoever has something set has nothing of this from further away.
    ask("PUT", "/config/y", {"compatibility": "NONE"})
    ask.register("y", STRING)
    assert "ruleSet" not in ask.get("/subjects/y/versions/1")


def test_null_takes_back_what_is_set_and_what_is_not_said_stays(ask: Asking) -> None:
    ask("PUT", "/config/x", {"compatibility": "NONE", "alias": "y", "defaultMetadata": owner("me")})
    said = ask("PUT", "/config/x", {"alias": None, "normalize": True})
    assert said.document == {"compatibility": "NONE", "normalize": True, "defaultMetadata": owner("me")}
    assert ask.get("/config/x")["defaultMetadata"] == owner("me")
    assert ask("DELETE", "/config/x").document["defaultMetadata"] == owner("me")
    ask("PUT", "/mode/x", {"mode": "READONLY"})
    assert ask("PUT", "/config/x", {"normalize": True}).code == (422, 42205)


@pytest.mark.parametrize(
    "rules",
    [
        {"domainRules": [rule("")]},
        {"domainRules": [rule("1a")]},
        {"domainRules": [rule("a b")]},
        {"domainRules": [rule("a" * 257)]},
        {"domainRules": [{"name": "a", "mode": "WRITE"}]},
        {"domainRules": [{"name": "a", "type": "CEL"}]},
        {"domainRules": [rule("a", mode="UPGRADE")]},
        {"migrationRules": [rule("a", mode="READ")]},
        {"encodingRules": [rule("a", mode="DOWNGRADE")]},
        {"domainRules": [rule("a", kind="OTHER")]},
        {"domainRules": [rule("a", onFailure="ERROR,NONE")]},
        {"domainRules": [rule("a"), rule("a")]},
        {"domainRules": [rule("a")], "encodingRules": [rule("a")]},
    ],
)
def test_what_no_rules_are(ask: Asking, rules: dict[str, Any]) -> None:
    body = {"schema": STRING, "ruleSet": rules}
    assert ask("POST", "/subjects/x/versions", body).code == (422, 42210)
    assert ask("PUT", "/config/x", {"defaultRuleSet": rules}).code == (422, 42210)
    assert ask.get("/subjects") == []
    assert ask("GET", "/config/x").code == (404, 40408)


@pytest.mark.parametrize(
    "body", [{"metadata": {"properties": {"a": 1}}}, {"metadata": 1}, {"ruleSet": {"domainRules": ["a"]}}]
)
def test_what_is_of_another_shape(ask: Asking, body: dict[str, Any]) -> None:
    assert ask("POST", "/subjects/x/versions", {"schema": STRING, **body}).code == (422, 422)


def test_order_makes_no_other_contract(ask: Asking) -> None:
    ask.register("x", STRING, metadata={"properties": {"a": "1", "b": "2"}, "sensitive": ["b", "a"]})
    again = {"sensitive": ["a", "b", "a"], "properties": {"b": "2", "a": "1"}}
    assert ask.register("x", STRING, metadata=again) == 1


# --- versions --------------------------------------------------------------------------------------------


def test_a_version_may_be_demanded_and_is_said_from_then_on(ask: Asking) -> None:
    ask("PUT", "/config", {"compatibility": "NONE"})
    ask.register("x", STRING)
    body = {"schema": INT, "metadata": owner("me")}
    for number in (1, 3):
        said = ask("POST", "/subjects/x/versions", body | {"version": number})
        assert said.code == (422, 42201)
    assert ask("POST", "/subjects/x/versions", body | {"version": 2}).document["version"] == 2
    said_so = owner("me") | {"properties": {"confluent:version": "2", "owner": "me"}}
    assert ask.get("/subjects/x/versions/2")["metadata"] == said_so
    assert ask("POST", "/subjects/x/versions", body).document["version"] == 2
    assert ask("POST", "/subjects/x", body).document["version"] == 2
    ask.register("x", '"long"')
    assert ask.get("/subjects/x/versions/3")["metadata"]["properties"]["confluent:version"] == "3"
    assert ask("POST", "/subjects/x/versions", {"schema": '"bytes"', "version": -1}).document["version"] == 4


def test_an_import_keeps_what_it_brings(ask: Asking) -> None:
    ask("PUT", "/config/x", {"defaultMetadata": owner("me")})
    ask("PUT", "/mode/x", {"mode": "IMPORT"})
    for number in (1, 2):
        metadata = {"properties": {"confluent:version": str(number)}}
        body = {"schema": STRING, "id": number, "version": number, "metadata": metadata}
        assert ask("POST", "/subjects/x/versions", body).document["id"] == number
        assert ask.get(f"/subjects/x/versions/{number}")["metadata"] == metadata


def test_the_last_version_with_some_properties(ask: Asking) -> None:
    ask("PUT", "/config", {"compatibility": "NONE"})
    ask.register("x", STRING, metadata=owner("me", major="1"))
    ask.register("x", INT, metadata=owner("me", major="2"))
    path = "/subjects/x/metadata?key=owner&value=me"
    assert ask.get(path)["version"] == 2
    assert ask.get(f"{path}&key=major&value=1")["version"] == 1
    assert ask("GET", f"{path}&key=major&value=3").code == (404, 40403)
    assert ask("GET", "/subjects/y/metadata?key=a&value=b").code == (404, 40401)


def test_versions_of_one_group_are_compared(ask: Asking) -> None:
    ask("PUT", "/config/x", {"compatibilityGroup": "major"})
    ask.register("x", record("R", "a"), metadata=owner("me", major="1"))
    more = record("R", "a", "b")
    body = {"schema": more, "metadata": owner("me", major="1")}
    every = "/compatibility/subjects/x/versions"
    assert ask("POST", every, body).document == {"is_compatible": False}
    assert ask("POST", "/subjects/x/versions", body).code == (409, 409)
    body["metadata"] = owner("me", major="2")
    assert ask("POST", every, body).document == {"is_compatible": True}
    assert ask("POST", "/subjects/x/versions", body).document["version"] == 2
    body = {"schema": record("R", "c"), "metadata": owner("me", major="1")}
    assert ask("POST", "/subjects/x/versions", body).code == (409, 409)
    assert ask("POST", "/subjects/x/versions?force=true", body).document["version"] == 3


# --- aliases ---------------------------------------------------------------------------------------------


def test_an_alias_stands_for_its_subject(ask: Asking) -> None:
    ask.register("long.name.of.a.type", record("R", "a"))
    assert ask("PUT", "/config/short", {"alias": "long.name.of.a.type"}).document == {
        "alias": "long.name.of.a.type"
    }
    found = ask.get("/subjects/short/versions/latest")
    assert (found["subject"], found["version"]) == ("long.name.of.a.type", 1)
    body = {"schema": record("R", "a", "b")}
    assert ask("POST", "/subjects/short/versions", body).code == (409, 409)
    assert ask("POST", "/compatibility/subjects/short/versions", body).document == {"is_compatible": False}
    assert ask.register("short", record("R")) == 2
    assert ask.get("/schemas/ids/2?subject=short")["schema"] == record("R").replace(" ", "")
    assert ask.get("/subjects") == ["long.name.of.a.type"]
    assert ask.get("/config/short")["alias"] == "long.name.of.a.type"
    assert ask("PUT", "/config/short", {"alias": ""}).status == 200
    assert ask("GET", "/subjects/short/versions").code == (404, 40401)


def test_an_alias_is_of_its_context(ask: Asking) -> None:
    ask.register(":.ctx:x", STRING)
    ask("PUT", "/config/:.ctx:a", {"alias": "x"})
    assert ask.get("/subjects/:.ctx:a/versions") == [1]
    assert ask.get("/contexts/.ctx/subjects/a/versions") == [1]
    assert ask("GET", "/subjects/a/versions").code == (404, 40401)
    ask("PUT", "/config/b", {"alias": ":.ctx:x"})
    assert ask.get("/subjects/b/versions/1")["subject"] == ":.ctx:x"
    # One step: an alias of an alias leads nowhere, and none leads in a circle.
    ask("PUT", "/config/c", {"alias": "b"})
    assert ask("GET", "/subjects/c/versions").code == (404, 40401)
    for where in ("/config", "/config/:.ctx:"):
        assert ask("PUT", where, {"alias": "x"}).code == (422, 42208)
    assert ask("PUT", "/config/d", {"alias": ":.ctx:"}).code == (422, 42208)


# --- exporters -------------------------------------------------------------------------------------------


def test_what_the_community_registry_has_not_is_not_here(ask: Asking) -> None:
    """Exporters are a part of Confluent's platform that its open registry answers 404 for; so does this."""
    body = {"name": "e", "subjects": ["*"], "config": {"schema.registry.url": "http://localhost:1"}}
    assert ask("POST", "/exporters", body).code == (404, 404)
    assert ask("GET", "/exporters").code == (404, 404)
    assert ask("GET", "/dek-registry/v1/keks").code == (404, 404)


# --- a client that executes rules ------------------------------------------------------------------------


@CLIENTS
def test_a_client_executes_rules_that_it_finds(broker: Broker, ask: Asking) -> None:
    """Confluent's serializer asks for the schema with its rules, and does what they say."""
    from confluent_kafka.schema_registry import (
        Metadata,
        MetadataProperties,
        Rule,
        RuleKind,
        RuleMode,
        RuleParams,
        RuleSet,
        Schema,
        SchemaRegistryClient,
        ServerConfig,
    )
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
    from confluent_kafka.schema_registry.rule_registry import RuleRegistry
    from confluent_kafka.schema_registry.serde import RuleContext, RuleExecutor
    from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

    class Bounds(RuleExecutor):
        def type(self) -> str:
            return "BOUNDS"

        def transform(self, ctx: RuleContext, message: Any) -> Any:
            return bool(message["count"] <= int(ctx.get_parameter("most")))

    client = SchemaRegistryClient({"url": broker.schema_registry_url})
    parameters = RuleParams({"most": "5"})
    limit = Rule(
        "limit", None, RuleKind.CONDITION, RuleMode.WRITE, "BOUNDS", None, parameters, None, None, None, False
    )
    metadata = Metadata(None, MetadataProperties({"owner": "me"}), None)
    config = ServerConfig(default_rule_set=RuleSet([], [limit]), override_metadata=metadata)
    client.set_config("orders-value", config)
    found = client.get_config("orders-value")
    assert found.default_rule_set is not None
    assert found.default_rule_set.domain_rules == [limit]
    text = record("Order", {"name": "count", "type": "int"})
    client.register_schema("orders-value", Schema(text, "AVRO"))
    last = client.get_latest_version("orders-value").schema
    assert last.rule_set is not None
    assert last.rule_set.domain_rules == [limit]
    assert last.metadata is not None
    assert last.metadata.properties == metadata.properties
    assert client.get_latest_with_metadata("orders-value", {"owner": "me"}).version == 1
    assert client.register_schema("orders-value", Schema(text, "AVRO", [], metadata, last.rule_set)) == 1

    registry = RuleRegistry()
    registry.register_executor(Bounds())
    options = {"auto.register.schemas": False, "use.latest.version": True}
    where = SerializationContext("orders", MessageField.VALUE)
    write = AvroSerializer(client, None, conf=options, rule_registry=registry)
    read = AvroDeserializer(client, None, rule_registry=registry)
    assert read(write({"count": 5}, where), where) == {"count": 5}
    with pytest.raises(SerializationError) as refusal:
        write({"count": 6}, where)
    assert "limit" in str(refusal.value.__cause__)
