"""Virtual hosts, policies, parameters, alarms: what operators set, change and clear."""

from __future__ import annotations

from tests.compare_events.case import Case
from tests.transcripts.registry import scenario


@scenario("R75")
def virtual_hosts(case: Case) -> None:
    case.http("PUT", "vhosts", "v")
    case.told("made")
    case.http("PUT", "vhosts", "v")
    case.told("again")
    case.http("PUT", "vhosts", "v", body={"description": "words", "tags": "a,b"})
    case.told("described")
    case.http("PUT", "vhosts", "w", body={"description": "words", "tags": "a,b"})
    case.told("made with everything")
    case.http("PUT", "vhosts", "v", body={"description": "words", "tags": "a,b", "tracing": True})
    case.told("traced")
    case.http("PUT", "vhosts", "v", body={"description": "words", "tags": "a,b", "tracing": False})
    case.told("not traced")
    case.http("DELETE", "vhosts", "w")
    case.told("removed", "vhost.deleted", in_order=False)
    case.http("DELETE", "vhosts", "v")
    case.pass_over("vhost.deleted")


@scenario("R75")
def a_virtual_host_removed_with_all_it_has(case: Case) -> None:
    case.http("PUT", "vhosts", "v")
    case.http("PUT", "permissions", "v", "guest", body={"configure": ".*", "write": ".*", "read": ".*"})
    case.http("PUT", "topic-permissions", "v", "guest", body={"exchange": "e", "write": ".*", "read": ".*"})
    case.http("PUT", "vhost-limits", "v", "max-queues", body={"value": 9})
    case.http("PUT", "policies", "v", "p", body={"pattern": "^none", "definition": {"max-length": 1}})
    connection = case.connect(vhost="v")
    channel = connection.channel()
    channel.exchange_declare("e", "topic", durable=True)
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "e", "k")
    case.pass_over()
    connection.close()
    case.pass_over()
    case.http("DELETE", "vhosts", "v")
    case.told("removed", "vhost.deleted", in_order=False)


@scenario("R75")
def limits_of_virtual_hosts(case: Case) -> None:
    case.http("PUT", "vhosts", "v")
    case.pass_over()
    case.http("PUT", "vhost-limits", "v", "max-connections", body={"value": 5})
    case.told("one set")
    case.http("PUT", "vhost-limits", "v", "max-queues", body={"value": 6})
    case.told("a second set")
    case.http("DELETE", "vhost-limits", "v", "max-connections")
    case.told("one cleared")
    case.http("PUT", "vhost-limits", "v", "max-queues", body={"value": 6})
    case.told("the same again")
    case.http("DELETE", "vhost-limits", "v", "max-queues")
    case.told("the last cleared")
    case.http("DELETE", "vhosts", "v")
    case.pass_over("vhost.deleted")


@scenario("R75")
def policies(case: Case) -> None:
    policy = {
        "pattern": "^q",
        "definition": {"max-length": 10, "overflow": "drop-head"},
        "apply-to": "queues",
    }
    case.http("PUT", "policies", "/", "p", body=policy)
    case.told("set")
    case.http("PUT", "policies", "/", "p", body=policy | {"priority": 7})
    case.told("changed")
    case.http("PUT", "policies", "/", "p", body=policy | {"priority": 7})
    case.told("the same again")
    case.http("DELETE", "policies", "/", "p")
    case.told("cleared")
    for kind in ("all", "exchanges"):
        policy = {"pattern": "^none", "definition": {"alternate-exchange": "amq.fanout"}, "apply-to": kind}
        case.http("PUT", "policies", "/", "p", body=policy)
        case.http("DELETE", "policies", "/", "p")
        case.told(f"one for {kind}")


@scenario("R75")
def operator_policies(case: Case) -> None:
    policy = {"pattern": "^q", "definition": {"max-length": 10}, "apply-to": "queues"}
    case.http("PUT", "operator-policies", "/", "p", body=policy)
    case.told("set")
    case.http("PUT", "operator-policies", "/", "p", body=policy | {"priority": 7})
    case.told("changed")
    case.http("DELETE", "operator-policies", "/", "p")
    case.told("cleared")


@scenario("R75")
def policies_that_fit_something(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q-1", durable=True)
    channel.queue_declare("q-2", durable=True, arguments={"x-queue-type": "quorum"})
    channel.exchange_declare("q-e", "fanout")
    case.pass_over()
    case.http("PUT", "policies", "/", "p", body={"pattern": "^q-1", "definition": {"max-length": 10}})
    case.told("set for a queue")
    case.http("PUT", "policies", "/", "p", body={"pattern": "^q-1", "definition": {"max-length": 11}})
    case.told("changed for a queue")
    channel.queue_declare("q-11")
    case.told("a queue declared that it fits")
    case.http("DELETE", "policies", "/", "p")
    case.told("cleared", in_order=False)
    case.http("PUT", "policies", "/", "p", body={"pattern": "^q-2", "definition": {"max-length": 10}})
    case.told("set for a quorum queue")
    case.http("DELETE", "policies", "/", "p")
    case.told("cleared")
    definition = {"alternate-exchange": "amq.fanout"}
    case.http("PUT", "policies", "/", "p", body={"pattern": "^q-e", "definition": definition})
    case.told("set for an exchange")
    channel.exchange_declare("q-e2", "fanout")
    case.told("an exchange declared that it fits")
    channel.exchange_delete("q-e2")
    case.pass_over()
    case.http("DELETE", "policies", "/", "p")
    case.told("cleared")
    case.http(
        "PUT", "operator-policies", "/", "o", body={"pattern": "^q-1$", "definition": {"max-length": 10}}
    )
    case.told("operator policy set for a queue")
    case.http("DELETE", "operator-policies", "/", "o")
    case.told("operator policy cleared")
    for queue in ("q-1", "q-2", "q-11"):
        channel.queue_delete(queue)
    channel.exchange_delete("q-e")
    case.pass_over()


@scenario("R75")
def global_parameters(case: Case) -> None:
    for value in ({"a": 1, "b": [1, 2, "x"], "c": {"d": True}}, "text", 7, 1.5, True, [], [1, {"a": 2}], {}):
        case.http("PUT", "global-parameters", "g", body={"name": "g", "value": value})
        case.told(f"set to {value}")
    case.http("PUT", "global-parameters", "g", body={"name": "g", "value": "x"})
    case.http("PUT", "global-parameters", "g", body={"name": "g", "value": "x"})
    case.told("the same again")
    case.http("DELETE", "global-parameters", "g")
    case.told("cleared")


@scenario("R75")
def name_of_the_cluster(case: Case) -> None:
    before = case.http("GET", "cluster-name")["name"]
    case.hide(before, "CLUSTER")
    case.http("PUT", "cluster-name", body={"name": "another"})
    case.told("changed")
    case.http("PUT", "cluster-name", body={"name": before})
    case.told("changed back")


@scenario("R75")
def alarms(case: Case) -> None:
    case.target.set_alarm(True)
    case.told("memory is short", "alarm.set")
    case.target.set_alarm(False)
    case.told("it is not any more", "alarm.cleared")


@scenario("R75")
def definitions_imported(case: Case) -> None:
    case.http(
        "POST",
        "definitions",
        body={
            "users": [{"name": "u", "password_hash": "", "tags": "management"}],
            "vhosts": [{"name": "v"}],
            "permissions": [{"user": "u", "vhost": "v", "configure": "a", "write": "b", "read": "c"}],
            "topic_permissions": [{"user": "u", "vhost": "v", "exchange": "e", "write": "a", "read": "b"}],
            "global_parameters": [{"name": "g", "value": "x"}],
            "policies": [
                {"vhost": "v", "name": "p", "pattern": "x", "definition": {"max-length": 1},
                 "apply-to": "queues", "priority": 0},
            ],
            "queues": [{"vhost": "v", "name": "q", "durable": True, "auto_delete": False, "arguments": {}}],
            "exchanges": [
                {"vhost": "v", "name": "e", "type": "topic", "durable": True, "auto_delete": False,
                 "internal": False, "arguments": {}},
            ],
            "bindings": [
                {"vhost": "v", "source": "e", "destination": "q", "destination_type": "queue",
                 "routing_key": "k", "arguments": {}},
            ],
        },
    )  # fmt: skip
    case.told("imported", "binding.created", in_order=False)
    case.http("DELETE", "vhosts", "v")
    case.http("DELETE", "users", "u")
    case.http("DELETE", "global-parameters", "g")
    case.pass_over("vhost.deleted")
