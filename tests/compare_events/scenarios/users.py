"""Users, their passwords, tags, permissions and limits, over HTTP."""

from __future__ import annotations

from tests.compare_events.case import Case
from tests.transcripts.registry import scenario

HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
"""What RabbitMQ's documentation gives as the hash of test12."""


@scenario("R75")
def made_changed_and_removed(case: Case) -> None:
    case.http("PUT", "users", "u", body={"password": "p", "tags": ""})
    case.told("made")
    case.http("PUT", "users", "u", body={"password": "p", "tags": ""})
    case.told("the same again")
    case.http("PUT", "users", "u", body={"password": "other", "tags": "monitoring,policymaker"})
    case.told("another password, with tags")
    case.http("PUT", "users", "u", body={"password_hash": HASH, "tags": ["administrator"]})
    case.told("a hash")
    case.http("PUT", "users", "u", body={"password_hash": "", "tags": ""})
    case.told("no password")
    case.http("DELETE", "users", "u")
    case.told("removed")


@scenario("R75")
def made_without_a_password(case: Case) -> None:
    case.http("PUT", "users", "u", body={"password_hash": "", "tags": "management"})
    case.told("made")
    case.http("PUT", "users", "v", body={"password_hash": HASH, "tags": "any,word"})
    case.told("made with a hash")
    case.http("POST", "users", "bulk-delete", body={"users": ["u", "v"]})
    case.told("removed together")


@scenario("R75")
def permissions(case: Case) -> None:
    case.http("PUT", "users", "u", body={"password": "p", "tags": ""})
    case.pass_over()
    rights = {"configure": ".*", "write": "^w$", "read": ""}
    case.http("PUT", "permissions", "/", "u", body=rights)
    case.told("set")
    case.http("PUT", "permissions", "/", "u", body=rights | {"read": ".*"})
    case.told("changed")
    case.http("PUT", "permissions", "/", "u", body=rights | {"read": ".*"})
    case.told("the same again")
    case.http("DELETE", "permissions", "/", "u")
    case.told("cleared")
    topics = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    case.http("PUT", "topic-permissions", "/", "u", body=topics)
    case.http("PUT", "topic-permissions", "/", "u", body=topics | {"exchange": ""})
    case.told("topic permissions set")
    case.http("DELETE", "topic-permissions", "/", "u")
    case.told("topic permissions cleared")
    case.http("DELETE", "users", "u")
    case.pass_over()


@scenario("R75")
def removed_with_all_it_had(case: Case) -> None:
    case.http("PUT", "users", "u", body={"password": "p", "tags": ""})
    case.http("PUT", "permissions", "/", "u", body={"configure": ".*", "write": ".*", "read": ".*"})
    case.http(
        "PUT", "topic-permissions", "/", "u", body={"exchange": "amq.topic", "write": ".*", "read": ".*"}
    )
    case.http("PUT", "user-limits", "u", "max-channels", body={"value": 9})
    case.pass_over()
    client = case.raw()
    client.log_in(response="\0u\0p")
    case.pass_over()
    case.http("DELETE", "users", "u")
    case.told("removed")
    client.socket.close()
    case.pass_over("connection.closed")


@scenario("R75")
def limits(case: Case) -> None:
    case.http("PUT", "users", "u", body={"password": "p", "tags": ""})
    case.pass_over()
    case.http("PUT", "user-limits", "u", "max-connections", body={"value": 5})
    case.told("one set")
    case.http("PUT", "user-limits", "u", "max-channels", body={"value": 6})
    case.told("a second set")
    case.http("PUT", "user-limits", "u", "max-channels", body={"value": 7})
    case.told("one changed")
    case.http("DELETE", "user-limits", "u", "max-connections")
    case.told("one cleared")
    case.http("DELETE", "user-limits", "u", "max-channels")
    case.told("the last cleared")
    case.http("DELETE", "users", "u")
    case.pass_over()


@scenario("R75")
def by_another_user(case: Case) -> None:
    case.http("PUT", "users", "boss", body={"password": "p", "tags": "administrator"})
    case.http("PUT", "permissions", "/", "boss", body={"configure": ".*", "write": ".*", "read": ".*"})
    case.pass_over()
    as_boss = {"user": "boss", "password": "p"}
    case.http("PUT", "users", "u", body={"password": "p", "tags": "management"}, **as_boss)
    case.http("PUT", "permissions", "/", "u", body={"configure": "a", "write": "b", "read": "c"}, **as_boss)
    case.http("DELETE", "users", "u", **as_boss)
    case.told("a user made and removed")
    connection = case.connect("boss", "p")
    case.pass_over()
    channel = connection.channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", "k")
    case.told("a queue declared and bound")
    case.http("DELETE", "queues", "/", "q")
    case.told("deleted over HTTP by another", "queue.deleted")
    connection.close()
    case.http("DELETE", "users", "boss")
    case.pass_over("user.deleted")
