"""Compat profiles: what `rabbitmq:4.3` refuses and `rabbitmq:3.13` takes, and whom the log names there.

The texts are those of RabbitMQ v4.3.5. Each test has a broker in this process, whose log it can read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pika
import pika.exceptions
import pytest
from broker_target import Target
from pika.credentials import PlainCredentials
from pika_tools import Pika, closes_channel, closes_connection, consume, publish
from raw_client import RawClient

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.config import Config
from pillarbox.profiles import PROFILES, REFUSED_BY_4_3

DEPRECATED = (
    "INTERNAL_ERROR - Feature `{}` is deprecated.\nBy default, this feature is not permitted anymore.\n"
    "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "
    "actual version to be determined.\nTo continue using this feature when it is not permitted"
)


def deprecated(feature: str) -> str:
    """The first 255 bytes of the notice, which is what a reply text holds."""
    return DEPRECATED.format(feature)[:252] + "..."


class Profiled:
    """A broker with one profile, and the sentences that its operator has read."""

    def __init__(self, broker: Broker, log: pytest.LogCaptureFixture) -> None:
        self.broker = broker
        self._log = log
        self._pika = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
        self.connect = self._pika.connect
        self.channel = self._pika.channel
        self.close = self._pika.close

    def permit(self, pattern: str) -> None:
        """Let guest configure, write and read only what has such a name."""
        permission = Permission("guest", "/", pattern, pattern, pattern)
        self.broker.call(lambda server: server.core.set_permission(permission))

    @property
    def warnings(self) -> list[str]:
        return [
            record.getMessage()
            for record in self._log.records
            if record.name == "pillarbox" and record.levelno >= logging.WARNING
        ]


@pytest.fixture
def lenient(caplog: pytest.LogCaptureFixture) -> Iterator[Profiled]:
    with Broker() as broker:
        profiled = Profiled(broker, caplog)
        yield profiled
        profiled.close()


@pytest.fixture
def strict(caplog: pytest.LogCaptureFixture) -> Iterator[Profiled]:
    with Broker(profile="rabbitmq:4.3") as broker:
        profiled = Profiled(broker, caplog)
        yield profiled
        profiled.close()


# --- what clients are told --------------------------------------------------------------------------


@pytest.mark.row("T1", "T3", "R2", "R5")
@pytest.mark.parametrize(
    ("profile", "version", "mechanisms"),
    [
        ("rabbitmq:3.13", "3.13.7", {"PLAIN", "AMQPLAIN"}),
        ("rabbitmq:4.3", "4.3.5", {"PLAIN", "AMQPLAIN", "ANONYMOUS"}),
    ],
)
def test_profile_names_its_version_and_mechanisms(profile: str, version: str, mechanisms: set[str]) -> None:
    with Broker(profile=profile) as broker, RawClient("127.0.0.1", broker.amqp_port) as raw:
        start = raw.start()
        assert start.server_properties["version"] == version
        assert start.server_properties["product"] == "RabbitMQ"
        assert set(start.mechanisms.split()) == mechanisms


@pytest.mark.row("R5", "T3")
def test_anonymous_is_guest_where_it_is_offered(strict: Profiled, lenient: Profiled) -> None:
    """R5: SASL ANONYMOUS is offered since 4.0 and logs in as guest; 3.13 does not have it."""
    anonymous = Anonymous("nobody", "nothing")
    with pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", strict.broker.amqp_port, credentials=anonymous)
    ) as connection:
        connection.channel().queue_declare("", exclusive=True)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", lenient.broker.amqp_port, credentials=anonymous)
        )


class Anonymous(PlainCredentials):
    """pika knows no ANONYMOUS; a response of any kind does."""

    TYPE = "ANONYMOUS"

    def response_for(self, start: object) -> tuple[str, bytes]:
        return "ANONYMOUS", b"trace@example.org"


@pytest.mark.row("T3", "T11")
def test_limits_are_those_of_the_profile_unless_they_are_given() -> None:
    lenient, strict = Config(), Config(profile="rabbitmq:4.3")
    assert (lenient.message_size_max, strict.message_size_max) == (128 << 20, 16 << 20)
    assert (lenient.frame_min, strict.frame_min) == (4096, 8192)
    given = Config(profile="rabbitmq:4.3", message_size_max=1 << 20, frame_min=4096)
    assert (given.message_size_max, given.frame_min) == (1 << 20, 4096)


# --- what 4.3 refuses --------------------------------------------------------------------------------


@pytest.mark.row("T3", "R40", "541")
def test_transient_queue_that_is_not_exclusive_is_refused(strict: Profiled) -> None:
    """T3: 541 since 4.3, which closes the connection; exclusive and durable queues stay as they were."""
    channel = strict.channel()
    channel.queue_declare("mine", exclusive=True)
    channel.queue_declare("kept", durable=True)
    with closes_connection(541, deprecated("transient_nonexcl_queues")):
        channel.queue_declare("q")
    assert strict.warnings == []


@pytest.mark.row("T3", "R55", "541")
def test_master_locator_is_refused(strict: Profiled) -> None:
    with closes_connection(541, deprecated("queue_master_locator")):
        strict.channel().queue_declare(
            "q", durable=True, arguments={"x-queue-master-locator": "client-local"}
        )


@pytest.mark.row("T3", "R55", "406")
def test_queue_version_1_is_refused(strict: Profiled) -> None:
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-queue-version' for queue 'q' in vhost '/': "
        "\"unsupported queue version '1'\""
    )
    with closes_channel(406, text):
        strict.channel().queue_declare("q", durable=True, arguments={"x-queue-version": 1})
    strict.channel().queue_declare("q", durable=True, arguments={"x-queue-version": 2})


@pytest.mark.row("T3", "R54", "406")
def test_consumer_timeout_of_a_classic_queue_is_refused(strict: Profiled) -> None:
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/' of queue type "
        "rabbit_classic_queue"
    )
    with closes_channel(406, text):
        strict.channel().queue_declare("q", durable=True, arguments={"x-consumer-timeout": 60000})
    arguments = {"x-consumer-timeout": 60000, "x-queue-type": "quorum"}
    strict.channel().queue_declare("q", durable=True, arguments=arguments)


@pytest.mark.row("T3", "R60", "406")
def test_message_of_more_than_16_mib_is_refused(strict: Profiled) -> None:
    size = (16 << 20) + 1
    channel = strict.channel()
    channel.confirm_delivery()
    text = f"PRECONDITION_FAILED - message size {size} is larger than configured max size {16 << 20}"
    with closes_channel(406, text):
        channel.basic_publish("", "nowhere", bytes(size))


@pytest.mark.row("T3", "T11", "R3")
def test_small_frames_are_refused(strict: Profiled) -> None:
    """T11: since 4.1 a client must take frames of 8192 bytes; below the socket is closed during tuning."""
    strict.connect(frame_max=8192)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        strict.connect(frame_max=4096)


@pytest.mark.row("T3", "R65")
def test_global_prefetch_is_one_for_each_consumer_to_come(strict: Profiled) -> None:
    """T3: 4.3 takes global=true for global=false."""
    channel = strict.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_qos(prefetch_count=2, global_qos=True)
    consumers = [consume(channel, queue, auto_ack=False) for _ in range(2)]
    publish(channel, queue, *(b"%d" % n for n in range(9)))
    for received in consumers:
        received.wait(2)
    channel.queue_declare(queue, passive=True)
    assert [len(received.messages) for received in consumers] == [2, 2]


@pytest.mark.row("T3", "R92", "403")
def test_passive_declaration_needs_some_permission(strict: Profiled, lenient: Profiled) -> None:
    """Since 4.2.6: any one of the three; 3.13 tells everybody who may enter."""
    for profiled in (strict, lenient):
        profiled.channel().queue_declare("q", durable=True)
        profiled.permit("^mine$")
    assert lenient.channel().queue_declare("q", passive=True).method.queue == "q"
    with closes_channel(403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'"):
        strict.channel().queue_declare("q", passive=True)
    with closes_channel(
        403, "ACCESS_REFUSED - access to exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    ):
        strict.channel().exchange_declare("amq.topic", passive=True)


# --- what 4.3 does otherwise -------------------------------------------------------------------------


QUORUM = {"x-queue-type": "quorum"}


@pytest.mark.row("T3", "R52")
def test_quorum_queue_has_a_delivery_limit_of_20(strict: Profiled) -> None:
    """R52: since 4.0; what counts is that a receiver went away, so 21 times is once too often."""
    channel = strict.channel()
    channel.queue_declare("dead", durable=True)
    arguments = QUORUM | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("q", durable=True, arguments=arguments)
    publish(channel, "q", b"poison")
    connection = strict.connect()
    for n in range(21):
        taker = connection.channel()
        method, properties, _ = taker.basic_get("q")
        assert method is not None
        assert (properties.headers or {}).get("x-delivery-count", 0) == n
        taker.close()
    assert channel.basic_get("q")[0] is None
    _, properties, body = channel.basic_get("dead", auto_ack=True)
    assert body == b"poison"
    assert properties.headers["x-first-death-reason"] == "delivery_limit"


@pytest.mark.row("T3", "R52")
def test_giving_back_does_not_count_towards_the_delivery_limit(strict: Profiled) -> None:
    """R52: since 4.3 basic.nack with requeue is counted apart, in x-acquired-count."""
    channel = strict.channel()
    channel.queue_declare("q", durable=True, arguments=QUORUM | {"x-delivery-limit": 2})
    publish(channel, "q", b"again")
    for n in range(30):
        method, properties, _ = channel.basic_get("q")
        assert method is not None
        assert (properties.headers or {}) == ({"x-acquired-count": n} if n else {})
        channel.basic_nack(method.delivery_tag, requeue=True)
    received = consume(strict.channel(), "q", auto_ack=False).wait(1)
    assert received.properties[0].headers == {"x-acquired-count": 30}


@pytest.mark.row("T3", "R52")
def test_rejecting_counts_towards_the_delivery_limit(strict: Profiled) -> None:
    """R52: basic.reject with requeue says that the delivery failed; basic.nack does not."""
    channel = strict.channel()
    channel.queue_declare("q", durable=True, arguments=QUORUM | {"x-delivery-limit": 2})
    publish(channel, "q", b"again")
    for n in range(3):
        method, properties, _ = channel.basic_get("q")
        assert method is not None
        assert (properties.headers or {}) == ({"x-acquired-count": n, "x-delivery-count": n} if n else {})
        channel.basic_reject(method.delivery_tag, requeue=True)
    assert channel.basic_get("q")[0] is None


@pytest.mark.row("T3", "R52")
def test_delivery_limit_of_minus_1_is_none(strict: Profiled) -> None:
    channel = strict.channel()
    channel.queue_declare("q", durable=True, arguments=QUORUM | {"x-delivery-limit": -1})
    publish(channel, "q", b"again")
    connection = strict.connect()
    for _ in range(25):
        taker = connection.channel()
        assert taker.basic_get("q")[0] is not None
        taker.close()
    assert channel.basic_get("q")[0] is not None


@pytest.mark.row("T3", "R48")
def test_published_x_death_is_not_counted_on_from(strict: Profiled, lenient: Profiled) -> None:
    """R48: since 4.0 an x-death that a client publishes is a header like others; its own deaths count on."""
    counts = {}
    for name, profiled in (("strict", strict), ("lenient", lenient)):
        channel = profiled.channel()
        channel.queue_declare("dead", durable=True)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        channel.queue_declare("q", durable=True, arguments=arguments)
        deaths = [{"queue": "q", "reason": "rejected", "count": 7, "exchange": "", "routing-keys": ["q"]}]
        publish(channel, "q", b"m", headers={"x-death": deaths, "mine": 1})
        method, properties, _ = channel.basic_get("q")
        assert properties.headers["x-death"][0]["count"] == 7
        channel.basic_reject(method.delivery_tag, requeue=False)
        _, properties, _ = channel.basic_get("dead", auto_ack=True)
        (death,) = properties.headers["x-death"]
        assert properties.headers["mine"] == 1
        counts[name] = death["count"]
    assert counts == {"strict": 1, "lenient": 8}


@pytest.mark.row("540", "R65")
def test_quorum_queue_takes_no_consumer_under_a_global_prefetch(strict: Profiled, lenient: Profiled) -> None:
    """540 in 3.13; in 4.3 there is no global prefetch that could stand against it."""
    for profiled in (strict, lenient):
        profiled.channel().queue_declare("q", durable=True, arguments=QUORUM)
    channel = strict.channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    consume(channel, "q", auto_ack=False)
    channel = lenient.channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    with closes_connection(540, text):
        consume(channel, "q", auto_ack=False)


# --- whom the log names ------------------------------------------------------------------------------


def misbehave(profiled: Profiled) -> None:
    """Do everything that 4.3 refuses, twice, on one connection with a name."""
    connection = profiled.connect(frame_max=4096, client_properties={"connection_name": "orders"})
    channel = connection.channel()
    for round in "12":
        channel.queue_declare(f"transient{round}")
        channel.basic_qos(prefetch_count=1, global_qos=True)
        for n, (argument, value) in enumerate(
            (
                ("x-queue-master-locator", "client-local"),
                ("x-queue-version", 1),
                ("x-queue-mode", "lazy"),
                ("x-consumer-timeout", 60000),
            )
        ):
            channel.queue_declare(f"q{round}.{n}", durable=True, arguments={argument: value})
        publish(channel, "nowhere", bytes((16 << 20) + 1))
        publish(channel, "nowhere", b"m", headers={"x-death": []})
    # Published before the permission goes, because the answer to this comes behind.
    channel.queue_declare("transient1", passive=True)
    profiled.permit("^$")
    channel.queue_declare("transient1", passive=True)
    channel.queue_declare("transient2", passive=True)


@pytest.mark.row("T3")
def test_log_names_each_client_once_for_each_thing_that_4_3_refuses(lenient: Profiled) -> None:
    """I7: connection name, product, address; once for each connection and feature."""
    misbehave(lenient)
    told = [line for line in lenient.warnings if "RabbitMQ 4.3" in line]
    assert all(line.startswith("client 'orders' ('Pika Python Client Library ") for line in told)
    assert all(" from 127.0.0.1:" in line for line in told)
    expected = [feature.done for feature in (*REFUSED_BY_4_3,)]
    for done in expected:
        assert sum(done in line for line in told) == 1, done
    assert len(told) == len(expected) + 1, "and x-queue-mode"
    assert any(
        "declared a queue that is neither durable nor exclusive ('transient1')" in line for line in told
    )


@pytest.mark.row("T3")
def test_log_names_nobody_who_does_nothing_of_it(lenient: Profiled) -> None:
    channel = lenient.channel()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("q", passive=True)
    channel.basic_qos(prefetch_count=1)
    publish(channel, "q", b"m", headers={"a": 1})
    consume(channel, "q", auto_ack=False).wait(1)
    assert lenient.warnings == []


@pytest.mark.row("T3")
def test_profiles_refuse_only_what_is_named() -> None:
    assert not PROFILES["rabbitmq:3.13"].refused
    assert PROFILES["rabbitmq:4.3"].refused == REFUSED_BY_4_3
