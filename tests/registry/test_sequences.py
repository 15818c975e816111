"""Whatever is done in whatever order, what is kept says what is there, and rules hold (K79)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.ops.registry.store import Registry
from tests.registry.asking import Asking, record
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

SUBJECTS = ("a", "b")
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
        st.sampled_from(("/config", "/config/a")),
        st.sampled_from(("NONE", "FULL", "BACKWARD_TRANSITIVE")).map(lambda level: {"compatibility": level}),
    ),
    st.tuples(
        st.just("PUT"),
        st.sampled_from(("/mode/a", "/mode?force=true")),
        st.sampled_from(("READWRITE", "READONLY", "IMPORT")).map(lambda mode: {"mode": mode}),
    ),
    st.tuples(st.just("DELETE"), st.sampled_from(("/config", "/config/a", "/mode/a")), st.none()),
)


def picture(registry: Registry) -> dict[str, Any]:
    return {
        "subjects": {name: list(versions.items()) for name, versions in registry.subjects.items()},
        "schemas": registry.schemas,
        "ids": registry.ids,
        "users": {
            key: sorted((one.subject, one.number, one.deleted) for one in found)
            for key, found in registry.versions_of.items()
        },
        "referrers": registry.referrers,
        "configs": registry.configs,
        "modes": registry.modes,
        "last": registry._last_id,
    }


@given(st.lists(STEPS, min_size=1, max_size=25))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_what_is_kept_is_what_is_there(steps: list[tuple[str, str, Any]]) -> None:
    given_to: dict[int, str] = {}
    with Broker(schema_registry_port=0) as broker:
        ask = Asking(broker.schema_registry_url)
        for method, path, body in steps:
            said = ask(method, path, body)
            assert said.status in (200, 404, 409, 422), said
            if method == "POST" and said.status == 200 and "id" not in body:
                # An id stands for one schema, whatever became of it, unless an importer says otherwise.
                document = said.document
                assert given_to.setdefault(document["id"], document["guid"]) == document["guid"]
        for document in ask.get("/schemas?deleted=true"):
            assert ask.get(f"/schemas/ids/{document['id']}")["schema"] == document["schema"]
            for one in document.get("references", ()):
                path = f"/subjects/{one['subject']}/versions/{one['version']}?deleted=true"
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
                assert referrers == sorted(kept["referrers"].get((name, number), ()))
        assert {key for key, _ in kept["referrers"]} <= set(kept["subjects"])
        assert set(kept["users"]) == set(kept["schemas"]) == set(kept["ids"].values())
