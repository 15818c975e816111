"""The registry's REST interface over plain HTTP (K79). Source: Confluent, "Schema Registry API Reference"."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.errors import StartupError
from tests.logins.service import Service, password_of
from tests.registry.asking import STRING, TYPE, Asking, record
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

LEVELS = [
    *("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE")
]


def optional(name: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "default": ""}


# --- registering and looking up --------------------------------------------------------------------------


def test_a_schema_has_one_id_and_each_subject_its_versions(ask: Asking) -> None:
    first, second = record("R", "a"), record("R", "a", optional("b"))
    assert ask.register("x", first) == 1
    assert ask.register("x", second) == 2
    assert ask.register("y", second) == 2
    assert ask.register("x", first) == 1
    assert ask.get("/subjects") == ["x", "y"]
    assert ask.get("/subjects/x/versions") == [1, 2]
    found = ask.get("/subjects/y/versions/latest")
    assert (found["subject"], found["version"], found["id"]) == ("y", 1, 2)
    assert "schemaType" not in found
    assert ask.get("/schemas/ids/2")["schema"] == found["schema"]
    assert ask.get("/schemas/ids/2/subjects") == ["x", "y"]
    assert ask.get("/schemas/ids/2/versions") == [
        {"subject": "x", "version": 2},
        {"subject": "y", "version": 1},
    ]
    assert ask.get(f"/schemas/guids/{found['guid']}")["schema"] == found["schema"]
    assert ask("GET", "/subjects").content_type == TYPE


def test_text_is_kept_without_space_and_known_whatever_space_it_has(ask: Asking) -> None:
    assert ask.register("x", '{ "type" : "string" }') == 1
    assert ask.get("/schemas/ids/1/schema") == "string"
    assert ask.get("/subjects/x/versions/1/schema") == "string"
    assert ask.register("x", '\n"string"') == 1
    assert ask.get("/subjects/x/versions") == [1]


def test_look_up_under_a_subject(ask: Asking) -> None:
    ask.register("x", STRING)
    found = ask("POST", "/subjects/x", {"schema": STRING}).document
    assert (found["subject"], found["version"], found["id"], found["schema"]) == ("x", 1, 1, STRING)
    assert ask("POST", "/subjects/x", {"schema": '"int"'}).code == (404, 40403)
    assert ask("POST", "/subjects/y", {"schema": STRING}).code == (404, 40401)
    assert ask("POST", "/subjects/x", {"schema": '"nothing"'}).code == (422, 42201)


def test_names_of_subjects_may_have_any_character(ask: Asking) -> None:
    for name in ("a%2Fb", "%C3%BC-value", "a%20b", "a%2525"):
        ask.register(name, STRING)
        assert ask.get(f"/subjects/{name}/versions/1")["id"] == 1
    assert ask.get("/subjects") == ["a b", "a%25", "a/b", "ü-value"]
    ask.register(":.:z", STRING)
    assert ask.get("/subjects?subjectPrefix=z") == ["z"]
    for name in (":.other", ":.other:", ":.__GLOBAL:z", ":*:z", "__GLOBAL", ":.:", "a%0Ab", ":.a::.b:c"):
        assert ask("POST", f"/subjects/{name}/versions", {"schema": STRING}).code == (422, 42208), name


def test_lists_have_parts(ask: Asking) -> None:
    for number in range(5):
        ask.register(f"s{number}", STRING)
    assert ask.get("/subjects?subjectPrefix=s&offset=1&limit=2") == ["s1", "s2"]
    assert ask.get(f"/subjects?offset={2**64}&limit=-1") == []
    assert ask.get(f"/subjects?subjectPrefix=s1&offset=0&limit={2**64}") == ["s1"]
    assert len(ask.get("/schemas?latestOnly=true&limit=3")) == 3
    assert ask("GET", "/subjects?limit=x").code == (400, 400)
    assert ask.get("/schemas/types") == ["AVRO", "JSON", "PROTOBUF"]
    assert ask.get("/contexts") == ["."]
    assert ask.get("/") == {}


def test_metadata_and_rules_are_kept_and_part_of_the_schema(ask: Asking) -> None:
    rules: dict[str, Any] = {
        "domainRules": [{"name": "r", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "true"}]
    }
    metadata = {"properties": {"owner": "someone"}}
    assert ask.register("x", STRING) == 1
    assert ask.register("x", STRING, metadata=metadata, ruleSet=rules) == 2
    found = ask.get("/schemas/ids/2")
    rules["domainRules"][0]["disabled"] = False
    assert (found["metadata"], found["ruleSet"]) == (metadata, rules)


def test_normalized_text_has_its_names_in_order(ask: Asking) -> None:
    schema = '{"type":"fixed","size":4,"name":"F"}'
    ask.register("x", schema)
    ask("PUT", "/config", {"normalize": True, "compatibility": "BACKWARD"})
    ask.register("y", schema.replace("F", "G"))
    assert ask.get("/subjects/x/versions/1")["schema"] == schema
    assert ask.get("/subjects/y/versions/1")["schema"] == '{"name":"G","size":4,"type":"fixed"}'
    assert ask.get("/config") == {"compatibilityLevel": "BACKWARD", "normalize": True}


# --- references ------------------------------------------------------------------------------------------


def test_schemas_refer_to_others_and_those_stay(ask: Asking) -> None:
    inner = ask.register("inner", record("Inner", "a"))
    reference = {"name": "Inner", "subject": "inner", "version": 1}
    outer = record("Outer", {"name": "i", "type": "Inner"})
    assert ask("POST", "/subjects/outer/versions", {"schema": outer}).code == (422, 42201)
    identity = ask.register("outer", outer, references=[reference])
    assert ask.get(f"/schemas/ids/{identity}")["references"] == [reference]
    assert ask.get("/subjects/inner/versions/1/referencedby") == [identity]
    third = record("Third", {"name": "o", "type": "Outer"}, {"name": "i", "type": "Inner"})
    ask.register("third", third, references=[{"name": "Outer", "subject": "outer", "version": 1}])
    for path in ("/subjects/inner", "/subjects/inner/versions/1", "/subjects/inner/versions/latest"):
        assert ask("DELETE", path).code == (422, 42206)
    for path in ("third", "third?permanent=true", "outer", "outer?permanent=true", "inner"):
        assert ask("DELETE", f"/subjects/{path}").document == [1]
    assert ask("GET", f"/schemas/ids/{inner}").status == 200
    nowhere = [{"name": "Inner", "subject": "inner", "version": 7}]
    asked = {"schema": outer, "references": nowhere}
    assert ask("POST", "/subjects/outer/versions", asked).code == (422, 42201)


# --- deleting --------------------------------------------------------------------------------------------


def test_a_subject_is_deleted_softly_and_then_for_good(ask: Asking) -> None:
    ask.register("x", STRING)
    ask("PUT", "/config/x", {"compatibility": "NONE"})
    ask.register("x", '"int"')
    assert ask("DELETE", "/subjects/x?permanent=true").code == (404, 40405)
    assert ask("DELETE", "/subjects/x").document == [1, 2]
    assert ask("DELETE", "/subjects/x").code == (404, 40404)
    assert ask("GET", "/config/x").code == (404, 40408)
    assert ask.get("/subjects") == []
    assert ask.get("/subjects?deleted=true") == ask.get("/subjects?deletedOnly=true") == ["x"]
    assert ask("GET", "/subjects/x/versions").code == (404, 40401)
    assert ask.get("/subjects/x/versions?deleted=true") == [1, 2]
    assert ask.get("/schemas/ids/1")["schema"] == STRING
    assert ask.get("/schemas/ids/1/subjects") == []
    assert ask.get("/schemas/ids/1/subjects?deleted=true") == ["x"]
    assert ask.register("x", STRING) == 1
    assert ask.get("/subjects/x/versions") == [3]
    assert ask("DELETE", "/subjects/x").document == [3]
    assert ask("DELETE", "/subjects/x?permanent=true").document == [1, 2, 3]
    assert ask("DELETE", "/subjects/x?permanent=true").code == (404, 40401)
    assert ask("GET", "/schemas/ids/1").code == (404, 40403)
    assert ask.register("x", STRING) == 3, "an id is not given twice"
    assert ask.get("/subjects/x/versions") == [1]


def test_a_version_is_deleted_softly_and_then_for_good(ask: Asking) -> None:
    ask.register("x", record("R", "a"))
    ask.register("x", record("R", "a", optional("b")))
    assert ask("DELETE", "/subjects/x/versions/2?permanent=true").code == (404, 40407)
    assert ask("DELETE", "/subjects/x/versions/latest").document == 2
    assert ask("DELETE", "/subjects/x/versions/2").code == (404, 40406)
    assert ask("GET", "/subjects/x/versions/2").code == (404, 40402)
    assert ask.get("/subjects/x/versions/2?deleted=true")["deleted"] is True
    assert ask.get("/subjects/x/versions?deletedOnly=true") == [2]
    assert ask.get("/subjects/x/versions/latest")["version"] == 1
    assert ask("DELETE", "/subjects/x/versions/2?permanent=true").document == 2
    assert ask("DELETE", "/subjects/x/versions/2?permanent=true").code == (404, 40402)


# --- compatibility ---------------------------------------------------------------------------------------

MORE = record("R", "a", "b")
LESS = record("R", "a")
DEFAULTED = record("R", "a", optional("b"))


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        ("NONE", {"more", "less", "defaulted"}),
        ("BACKWARD", {"less"}),
        ("FORWARD", {"more"}),
        ("FULL", set()),
    ],
)
def test_each_level_allows_what_it_is_for(ask: Asking, level: str, allowed: set[str]) -> None:
    """The subject has a field `b` without a default; `other` adds `c` without one, and so on."""
    ask.register("x", MORE)
    ask("PUT", "/config/x", {"compatibility": level})
    offers = {"more": record("R", "a", "b", "c"), "less": LESS, "defaulted": record("R", "a", "c")}
    for name, schema in offers.items():
        path = "/compatibility/subjects/x/versions/latest?verbose=true"
        said = ask("POST", path, {"schema": schema}).document
        assert said["is_compatible"] == (name in allowed), (name, said)
        assert bool(said["messages"]) == (name not in allowed)


def test_an_incompatible_schema_is_refused_and_says_why(ask: Asking) -> None:
    ask.register("x", LESS)
    said = ask("POST", "/subjects/x/versions", {"schema": MORE})
    assert said.code == (409, 409)
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in said.document["message"]
    assert ask.get("/subjects/x/versions") == [1]
    assert ask.register("x", DEFAULTED) == 2


def test_transitive_levels_look_at_all_versions(ask: Asking) -> None:
    """`b` goes and comes back as another type: fine against the last version, and not against the first."""
    ask.register("x", MORE)
    ask.register("x", LESS)
    other = {"schema": record("R", "a", {"name": "b", "type": "int", "default": 0})}
    every = "/compatibility/subjects/x/versions"
    assert ask("POST", every, other).document == {"is_compatible": True}
    ask("PUT", "/config/x", {"compatibility": "BACKWARD_TRANSITIVE"})
    assert ask("POST", every, other).document == {"is_compatible": False}
    assert ask("POST", f"{every}/1", other).document == {"is_compatible": False}
    assert ask("POST", f"{every}/2", other).document == {"is_compatible": True}
    assert ask("POST", "/subjects/x/versions", other).code == (409, 409)


def test_another_type_of_schema_is_incompatible(ask: Asking) -> None:
    ask.register("x", STRING)
    body = {"schema": '{"type":"string"}', "schemaType": "JSON"}
    assert ask("POST", "/subjects/x/versions", body).code == (409, 409)
    ask("PUT", "/config/x", {"compatibility": "none"})
    assert ask.register("x", **body) == 2
    assert ask.get("/subjects/x/versions/2")["schemaType"] == "JSON"


def test_compatibility_with_what_is_not_there(ask: Asking) -> None:
    ask.register("x", STRING)
    body = {"schema": STRING}
    assert ask("POST", "/compatibility/subjects/y/versions/latest", body).code == (404, 40401)
    assert ask("POST", "/compatibility/subjects/x/versions/2", body).code == (404, 40402)
    assert ask("POST", "/compatibility/subjects/x/versions/0", body).code == (422, 42202)
    assert ask("POST", "/compatibility/subjects/y/versions", body).document == {"is_compatible": True}


# --- levels and modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_levels_are_set_for_all_and_for_one(ask: Asking, level: str) -> None:
    assert ask.get("/config") == {"compatibilityLevel": "BACKWARD"}
    assert ask("PUT", "/config", {"compatibility": level.lower()}).document == {"compatibility": level}
    assert ask.get("/config") == {"compatibilityLevel": level}
    assert ask("GET", "/config/x").code == (404, 40408)
    assert ask.get("/config/x?defaultToGlobal=true") == {"compatibilityLevel": level}
    assert ask("PUT", "/config/x", {"compatibility": "FULL"}).document == {"compatibility": "FULL"}
    assert ask.get("/config/x") == {"compatibilityLevel": "FULL"}
    assert ask("DELETE", "/config/x").document == {"compatibilityLevel": "FULL"}
    assert ask("DELETE", "/config/x").code == (404, 40401)
    assert ask("DELETE", "/config").document == {"compatibilityLevel": level}
    assert ask.get("/config") == {"compatibilityLevel": "BACKWARD"}


def test_what_no_level_is(ask: Asking) -> None:
    assert ask("PUT", "/config", {"compatibility": "SOME"}).code == (422, 42203)
    assert ask("PUT", "/config", {}).code == (422, 42203)
    assert ask("PUT", "/config/x", {"validateFields": True}).code == (422, 422)


def test_modes_are_set_for_all_and_for_one(ask: Asking) -> None:
    ask.register("x", STRING)
    assert ask.get("/mode") == {"mode": "READWRITE"}
    assert ask("GET", "/mode/x").code == (404, 40409)
    assert ask.get("/mode/x?defaultToGlobal=true") == {"mode": "READWRITE"}
    assert ask("PUT", "/mode/x", {"mode": "READONLY"}).document == {"mode": "READONLY"}
    body = {"schema": '"bytes"'}
    assert ask("POST", "/subjects/x/versions", body).code == (422, 42205)
    assert ask("DELETE", "/subjects/x").code == (422, 42205)
    assert ask("DELETE", "/mode/x").document == {"mode": "READONLY"}
    assert ask("DELETE", "/mode/x").code == (404, 40409)
    assert ask("POST", "/subjects/x/versions", body).status == 200
    assert ask("PUT", "/mode/x", {"mode": "READWRITE"}).status == 200
    assert ask("PUT", "/mode", {"mode": "READONLY_OVERRIDE"}).status == 200
    assert ask("POST", "/subjects/x/versions", body).code == (422, 42205)
    assert ask("PUT", "/mode", {"mode": "SOME"}).code == (422, 42204)


def test_import_keeps_ids_and_versions(ask: Asking) -> None:
    body = {"schema": STRING, "id": 40, "version": 3}
    assert ask("POST", "/subjects/x/versions", body).code == (422, 42205)
    ask.register("there", '"long"')
    assert ask("PUT", "/mode", {"mode": "IMPORT"}).code == (422, 42205)
    assert ask("PUT", "/mode/x", {"mode": "IMPORT"}).document == {"mode": "IMPORT"}
    assert ask("POST", "/subjects/x/versions", body).document["id"] == 40
    assert ask.get("/subjects/x/versions") == [3]
    assert ask("POST", "/subjects/x/versions", {"schema": '"int"'}).code == (422, 42205)
    taken = {"schema": '"int"', "id": 40, "version": 4}
    assert ask("POST", "/subjects/x/versions", taken).code == (422, 42205)
    assert ask("POST", "/subjects/x/versions", taken | {"id": 41}).document["id"] == 41
    assert ask("POST", "/subjects/x/versions", taken | {"id": 42}).code == (422, 42207)
    assert ask("POST", "/subjects/x/versions", {"schema": '"null"', "id": 50, "version": 2}).status == 200
    assert ask.get("/subjects/x/versions") == [2, 3, 4]
    assert ask.register("there", '"double"') == 51
    assert ask("PUT", "/mode", {"mode": "IMPORT"}).code == (422, 42205)
    assert ask("PUT", "/mode?force=true", {"mode": "IMPORT"}).status == 200


# --- what is wrong ---------------------------------------------------------------------------------------


def test_what_is_not_there(ask: Asking) -> None:
    ask.register("x", STRING)
    assert ask("GET", "/subjects/y/versions").code == (404, 40401)
    assert ask("GET", "/subjects/y/versions/1").code == (404, 40401)
    assert ask("GET", "/subjects/x/versions/2").code == (404, 40402)
    assert ask("DELETE", "/subjects/y").code == (404, 40401)
    assert ask("DELETE", "/subjects/x/versions/2").code == (404, 40402)
    assert ask("GET", "/schemas/ids/7").code == (404, 40403)
    assert ask("GET", "/schemas/guids/7").code == (404, 40403)
    assert ask("GET", "/nothing").code == (404, 404)
    said = ask("PUT", "/subjects")
    assert said.code == (405, 405)
    assert said.headers["allow"] == "GET"
    assert ask("GET", "/subjects/x/versions/2").document["message"] == "Version 2 not found."
    assert ask("GET", "/subjects/y/versions").document["message"] == "Subject 'y' not found."


@pytest.mark.parametrize("version", ["0", "-2", "2147483648", "x", "1.0", "%C2%B2", "9" * 5000])
def test_what_no_version_is(ask: Asking, version: str) -> None:
    assert ask("GET", f"/subjects/x/versions/{version}").code == (422, 42202)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", (400, 400)),
        (b"{", (400, 400)),
        (b"\xff", (400, 400)),
        (b"[" * 100_000, (422, 422)),
        (b"[]", (422, 422)),
        (b'{"schema":1}', (422, 422)),
        (b'{"schema":"\\"string\\"","references":[{"name":"a"}]}', (422, 422)),
        (b"{}", (422, 42201)),
        (b'{"schema":""}', (422, 42201)),
        (b'{"schema":"\\"string\\"","schemaType":"XML"}', (422, 42201)),
        (b'{"schema":"{"}', (422, 42201)),
        (b'{"schema":"{\\"type\\":\\"record\\"}"}', (422, 42201)),
        (b'{"schema":"' + b"[" * 5000 + b'"}', (422, 42201)),
        (b'{"schema":"' + b'{\\"type\\":\\"array\\",\\"items\\":' * 2000 + b'"}', (422, 42201)),
        (b'{"schema":"' + b"x" * (1 << 20) + b'"}', (422, 42209)),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_what_cannot_be_registered(ask: Asking, raw: bytes, code: tuple[int, int]) -> None:
    assert ask("POST", "/subjects/x/versions", raw=raw).code == code
    assert ask.get("/subjects") == []


def test_content_type_is_plain_for_whoever_wants_it_so(ask: Asking) -> None:
    wanted = {"accept": "application/json"}
    assert ask("GET", "/subjects", headers=wanted).content_type == "application/json"
    several = {"accept": f"{TYPE}, application/vnd.schemaregistry+json, application/json"}
    assert ask("GET", "/subjects", headers=several).content_type == TYPE


# --- who may ---------------------------------------------------------------------------------------------


def test_who_may_do_what(broker: Broker, ask: Asking) -> None:
    def people(server: Any) -> None:
        for name, rights in (("writer", ("", "^orders", "")), ("owner", ("^orders", "", "")), ("alien", ())):
            server.core.add_user(name, "p")
            if rights:
                server.core.set_permission(Permission(name, "/", *rights))

    broker.call(people)
    body = {"schema": STRING}
    writer, owner, alien = "writer:p", "owner:p", "alien:p"
    assert ask("POST", "/subjects/orders-value/versions", body, user=writer).status == 200
    assert ask("POST", "/subjects/other-value/versions", body, user=writer).code == (403, 403)
    assert ask("POST", "/subjects/orders-value/versions", body, user=owner).code == (403, 403)
    assert ask("GET", "/subjects", user=owner).document == ["orders-value"]
    assert ask("GET", "/subjects", user=alien).code == (403, 403)
    level = {"compatibility": "NONE"}
    assert ask("PUT", "/config/orders-value", level, user=owner).status == 200
    assert ask("PUT", "/config/orders-value", level, user=writer).code == (403, 403)
    assert ask("PUT", "/config", level, user=owner).code == (403, 403)
    assert ask("PUT", "/config", level, user="guest:guest").status == 200
    assert ask("DELETE", "/subjects/orders-value", user=writer).code == (403, 403)
    assert ask("DELETE", "/subjects/orders-value", user=owner).document == [1]
    said = ask("GET", "/subjects", user="writer:wrong")
    assert said.code == (401, 401)
    assert said.headers["www-authenticate"].startswith("Basic ")
    assert ask("GET", "/subjects", user=":").document == []
    for said in ("Basic x", "Basic", "Bearer x", "Digest x"):
        assert ask("GET", "/subjects", headers={"authorization": said}).code == (401, 401)
    other = {"origin": "http://elsewhere.example", "sec-fetch-site": "cross-site"}
    assert ask("POST", "/subjects/x/versions", body, headers=other).code == (403, 403)


def test_somebody_outside_may_decide() -> None:
    """A request waits until a service has said who may, and is done then."""
    with Service() as service, Broker(schema_registry_port=0, **service.options()) as broker:
        ask = Asking(broker.schema_registry_url)
        body, alice = {"schema": STRING}, f"alice:{password_of('alice')}"
        assert ask("POST", "/subjects/x/versions", body, user=alice).document["id"] == 1
        service.say("deny", "resource", permission="write")
        assert ask("POST", "/subjects/y/versions", body, user=alice).code == (403, 403)
        assert ask("GET", "/subjects", user="alice:other").code == (401, 401)
        kinds = [kind for kind, _ in service.asked]
        assert {"user", "vhost", "resource"} <= set(kinds)


def test_all_have_to_log_in_where_nobody_stands_for_them() -> None:
    with Broker(schema_registry_port=0, schema_registry_anonymous_user="none") as broker:
        ask = Asking(broker.schema_registry_url)
        assert ask("GET", "/subjects").code == (401, 401)
        assert ask("GET", "/subjects", user="guest:guest").document == []


def test_the_level_of_the_beginning_is_configured() -> None:
    with Broker(schema_registry_port=0, schema_registry_compatibility="FULL") as broker:
        ask = Asking(broker.schema_registry_url)
        assert ask.get("/config") == {"compatibilityLevel": "FULL"}


def test_a_broker_without_the_extra_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "avro", None)
    with pytest.raises(StartupError, match=r"needs avro: pip install 'pillarbox\[registry\]'"):
        Broker(schema_registry_port=0).start()


def test_many_at_once_get_different_versions(ask: Asking) -> None:
    """One registration is compared and kept before the next one is looked at."""
    ask("PUT", "/config", {"compatibility": "NONE"})
    with ThreadPoolExecutor(16) as pool:
        schemas = [record(f"R{number % 20}", "a") for number in range(60)]
        ids = list(pool.map(lambda schema: ask.register("x", schema), schemas))
    assert sorted(set(ids)) == list(range(1, 21))
    assert ask.get("/subjects/x/versions") == list(range(1, 21))
