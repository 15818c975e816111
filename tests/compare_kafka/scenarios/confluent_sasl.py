"""confluent-kafka logs in."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException, Producer

from bench.kafka_peer import USERS
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import COMMON, error_name, read_all, topic
from tests.transcripts.registry import scenario

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def login(case: Case, mechanism: str, user: str, password: str) -> dict[str, object]:
    return {
        **COMMON,
        "bootstrap.servers": case.sasl_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        "message.timeout.ms": 5000,
    }


def first_error(config: dict[str, object]) -> str:
    """Return the first error that a client tells its user, or "nothing"."""
    errors: list[KafkaError] = []
    client = Producer({**config, "error_cb": errors.append})
    deadline = time.monotonic() + 5
    while not errors and time.monotonic() < deadline:
        client.poll(0.05)
    return error_name(errors[0]) if errors else "nothing"


@scenario("K70", "K71")
def logins(case: Case) -> None:
    """Each mechanism leads to the same topics."""
    name = topic(case, "t")
    for mechanism in MECHANISMS:
        client = Producer(login(case, mechanism, "alice", USERS["alice"]))
        client.produce(name, mechanism)
        case.saw(mechanism, client.flush(5))
    case.saw("read", [message.value() for message in read_all(case, name)])


@scenario("K71", "K75")
def wrong_passwords(case: Case) -> None:
    for mechanism in MECHANISMS:
        case.saw(mechanism, "wrong password", first_error(login(case, mechanism, "alice", "wrong")))
        case.saw(mechanism, "no such user", first_error(login(case, mechanism, "nobody", "wrong")))


@scenario("K70", "K71")
def plain_client_where_a_login_is_asked_for(case: Case) -> None:
    config = {**COMMON, "bootstrap.servers": case.sasl_bootstrap}
    client = Producer(config)
    try:
        client.list_topics(timeout=2)
        case.saw("without a login", "taken")
    except KafkaException as error:
        case.saw("without a login", error_name(error))
