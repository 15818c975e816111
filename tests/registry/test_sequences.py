"""Whatever is done in whatever order, what is kept says what is there, and rules hold (K79)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.ops.registry import names
from pillarbox.ops.registry.store import Registry
from tests.registry.asking import Asking, record
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

INSIDE = ":.ctx:"
SUBJECTS = ("a", "b", f"{INSIDE}a")
PLAIN = [
    '"string"',
    '"int"',
    record("R", "x"),
    record("R", "x", {"name": "y", "type": "int", "default": 0}),
    '{"type":"record"}',
]
OFFERS: list[dict[str, Any]] = [{"schema": schema} for schema in PLAIN] + [
    {
        "schema": record("Outer", {"name": "r", "type": "R"}),
        "references": [{"name": "R", "subject": subject, "version": version}],
    }
    for subject in SUBJECTS
    for version in (1, 2)
]
OFFERS += [
    {"metadata": {"properties": {"owner": "me"}}},
    {"schema": '"bytes"', "version": -1},
]
OFFERS += [{"schema": '"long"', "id": identity, "version": 2} for identity in (1, 9)]
VERSIONS = ("1", "2", "3", "latest")
PATHS = st.one_of(
    st.sampled_from(SUBJECTS).map(lambda name: f"/subjects/{name}"),
    st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(VERSIONS)).map(
        "/subjects/{0[0]}/versions/{0[1]}".format
    ),
)
STEPS = st.one_of(
    st.tuples(
        st.just("POST"),
        st.sampled_from([f"/subjects/{name}/versions" for name in SUBJECTS]),
        st.sampled_from(OFFERS),
    ),
    st.tuples(st.just("DELETE"), PATHS, st.none()),
    st.tuples(st.just("DELETE"), PATHS.map("{}?permanent=true".format), st.none()),
    st.tuples(
        st.just("PUT"),
        st.sampled_from(("/config", "/config/a", f"/config/{INSIDE}")),
        st.sampled_from(("NONE", "FULL", "BACKWARD_TRANSITIVE")).map(lambda level: {"compatibility": level}),
    ),
    st.tuples(
        st.just("PUT"),
        st.sampled_from(("/config/a", "/config/b")),
        st.sampled_from((None, "a", f"{INSIDE}a")).map(lambda alias: {"alias": alias}),
    ),
    st.tuples(
        st.just("PUT"),
        st.sampled_from(("/config", "/config/b")),
        st.sampled_from((None, {"properties": {"kind": "x"}})).map(lambda given: {"overrideMetadata": given}),
    ),
    st.tuples(
        st.just("PUT"),
        st.sampled_from(("/mode/a", "/mode?force=true")),
        st.sampled_from(("READWRITE", "READONLY", "IMPORT")).map(lambda mode: {"mode": mode}),
    ),
    st.tuples(
        st.just("DELETE"),
        st.sampled_from(("/config", "/config/a", "/config/b", "/mode/a", "/contexts/.ctx")),
        st.none(),
    ),
)


def picture(registry: Registry) -> dict[str, Any]:
    return {
        "subjects": {name: list(versions.items()) for name, versions in registry.subjects.items()},
        "schemas": {name: context.schemas for name, context in registry.contexts.items()},
        "ids": {name: context.ids for name, context in registry.contexts.items()},
        "users": {
            name: {
                key: sorted((one.subject, one.number, one.deleted) for one in found)
                for key, found in context.versions_of.items()
            }
            for name, context in registry.contexts.items()
        },
        "referrers": registry.referrers,
        "configs": registry.configs,
        "modes": registry.modes,
        "last": {name: context.last_id for name, context in registry.contexts.items()},
    }


@given(st.lists(STEPS, min_size=1, max_size=25))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_what_is_kept_is_what_is_there(steps: list[tuple[str, str, Any]]) -> None:
    given_to: dict[tuple[str, int], str] = {}
    with Broker(schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        for method, path, body in steps:
            said = ask(method, path, body)
            assert said.status in (200, 204, 404, 409, 422), said
            if said.status == 204:
                given_to = {place: guid for place, guid in given_to.items() if place[0] != INSIDE}
            if method == "POST" and said.status == 200 and "id" not in body:
                # An id stands for one schema, whatever became of it, unless an importer says otherwise.
                document = said.document
                subject = path.split("/")[2]
                subject = ask("GET", f"/config/{subject}").document.get("alias", subject)
                place = names.split(subject)[0], document["id"]
                assert given_to.setdefault(place, document["guid"]) == document["guid"]
        # What an alias stands for is seen in its place.
        for name in ("a", "b"):
            assert ask("PUT", f"/mode/{name}", {"mode": "READWRITE"}).status == 200
            assert ask("PUT", "/mode", {"mode": "READWRITE"}).status == 200
            assert ask("PUT", f"/config/{name}", {"alias": None}).status == 200
        for document in ask.get("/schemas?deleted=true&subjectPrefix=:*:"):
            context = names.split(document["subject"])[0]
            found = ask.get(f"/schemas/ids/{document['id']}?subject={context}")
            assert found["schema"] == document["schema"]
            for one in document.get("references", ()):
                target = names.qualified(one["subject"], context)
                path = f"/subjects/{target}/versions/{one['version']}?deleted=true"
                assert ask("GET", path).status == 200, "what is referred to stays"

        def look(server: Any) -> Any:
            return picture(Registry(server.core, "BACKWARD"))

        kept = broker.call(look)
        # What the registry itself says, through its own port, goes by the same picture.
        assert sorted(kept["subjects"]) == ask.get("/subjects?deleted=true")
        for name, versions in kept["subjects"].items():
            listed = ask.get(f"/subjects/{name}/versions?deleted=true")
            assert listed == [number for number, _ in versions]
            for number, version in versions:
                found = ask.get(f"/subjects/{name}/versions/{number}?deleted=true")
                assert (found["id"], found.get("deleted", False)) == (version.id, version.deleted)
                referrers = ask.get(f"/subjects/{name}/versions/{number}/referencedby")
                expected = sorted(kept["referrers"].get((name, number), ()))
                assert referrers == [identity for _, identity in expected]
        assert {key for key, _ in kept["referrers"]} <= set(kept["subjects"])
        for context, users in kept["users"].items():
            assert set(users) == set(kept["schemas"][context]) == set(kept["ids"][context].values())
        assert [names.shown(name) for name in sorted(kept["users"])] == ask.get("/contexts")
