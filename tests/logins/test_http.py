"""Clients whom an HTTP service lets in (R8): unmodified, over sockets. Questions and texts are RabbitMQ's
(3.10.8 with rabbitmq_auth_backend_http)."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pika
import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from pillarbox import Broker
from pillarbox.broker.outside import QUESTIONS_MAX
from pillarbox.config import Config, ConfigError
from tests.logins.conftest import Connect
from tests.logins.service import Service, password_of

pytestmark = pytest.mark.row("R8")

REFUSED = (
    r"\(403\) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
    r"For details see the broker logfile.'"
)


def about(user: str, **more: str) -> dict[str, str]:
    return {"username": user, "vhost": "/", **more}


def thing(kind: str, name: str, permission: str, tags: str = "") -> tuple[str, dict[str, str]]:
    fields = about("alice", resource=kind, name=name, permission=permission, tags=tags)
    return "resource", fields


def topic(name: str, permission: str, key: str) -> tuple[str, dict[str, str]]:
    fields = about("alice", resource="topic", name=name, permission=permission, tags="", routing_key=key)
    return "topic", {**fields, "variable_map.username": "alice", "variable_map.vhost": "/"}


# --- who it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("broker", [{"auth_http_method": "get"}, {"auth_http_method": "post"}], indirect=True)
def test_service_says_who_may_log_in_and_enter(
    broker: Broker, service: Service, connect: Connect, request: pytest.FixtureRequest
) -> None:
    service.say("ALLOW management\n policymaker ", "user", username="alice")
    assert connect("alice").channel().is_open
    assert service.asked == [
        ("user", {"username": "alice", "password": password_of("alice")}),
        ("vhost", about("alice", ip="127.0.0.1", tags="management policymaker")),
    ]
    assert service.methods == {request.node.callspec.params["broker"]["auth_http_method"].upper()}
    assert broker.call(lambda server: [one.user.tags for one in server.core.sessions]) == [
        ("management", "policymaker")
    ]


def test_password_reaches_the_service_as_it_is(service: Service, connect: Connect) -> None:
    """Also what a form has a meaning for."""
    for password in ("", "a b&c=d%?+#/", "öä\N{SNOWMAN}"):
        with pytest.raises(ProbableAuthenticationError):
            connect("alice", password)
        assert service.take() == [("user", {"username": "alice", "password": password})]


def test_login_that_is_denied_is_refused(connect: Connect) -> None:
    with pytest.raises(ProbableAuthenticationError, match=REFUSED):
        connect("alice", "wrong")


def test_virtual_host_that_is_denied_is_not_entered(service: Service, connect: Connect) -> None:
    service.deny("vhost", username="alice")
    text = "NOT_ALLOWED - access to vhost '/' refused for user 'alice'\""
    with pytest.raises(ProbableAccessDeniedError, match=text):
        connect()


@pytest.mark.parametrize(
    "answer",
    [
        (500, "oops"),
        (404, ""),
        (200, "maybe"),
        (200, ""),
        (200, "allow" * 20_000),
        (302, "allow"),
        (-1, "no\r\n"),
    ],
    ids=["500", "404", "maybe", "nothing", "too-long", "redirect", "no-http"],
)
def test_answer_that_is_neither_yes_nor_no_lets_nobody_in(
    answer: tuple[int, str], service: Service, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    service.say(answer, "user", username="alice")
    with pytest.raises(ProbableAuthenticationError, match=REFUSED):
        connect()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith(f"auth backend 'http' fails: http://127.0.0.1:{service.port}/auth/user: ")
    assert connect("bob").is_open


def test_error_of_the_service_is_named_in_the_refusal(service: Service, connect: Connect) -> None:
    service.say((500, "bad"), "vhost", username="eve")
    backend = "backend rabbit_auth_backend_http returned an error"
    with pytest.raises(ProbableAccessDeniedError, match=rf"refused for user 'eve', {backend}: \{{500\}}"):
        connect("eve")
    service.say((500, "bad"), "resource", name="broken")
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().channel().queue_declare("broken")
    text = "ACCESS_REFUSED - access to queue 'broken' in vhost '/' refused for user 'alice', "
    assert (refused.value.reply_code, refused.value.reply_text) == (403, f"{text}{backend}: {{500}}")


def test_password_of_the_broker_at_the_service_is_in_no_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands in the address, as in any URL with HTTP's Basic."""
    there = f"127.0.0.1:{service.port}/auth"
    service.say((500, "bad"), "user", username="alice")
    options = service.options(auth_http_user_path=f"http://broker:s3cret@{there}/user?key=s3cret")
    with Broker(**options) as broker:
        credentials = pika.PlainCredentials("alice", password_of("alice"))
        with pytest.raises(ProbableAuthenticationError):
            pika.BlockingConnection(
                pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "/", credentials)
            )
    assert f"auth backend 'http' fails: http://{there}/user: " in caplog.text
    assert "s3cret" not in caplog.text


def test_service_that_is_down_lets_nobody_in(
    broker: Broker, service: Service, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is in already may do what it was allowed to before, and nothing else."""
    channel = connect().channel()
    channel.queue_declare("known")
    service.go_down()
    with pytest.raises(ProbableAuthenticationError, match=REFUSED):
        connect("bob")
    channel.queue_declare("known")
    with pytest.raises(ChannelClosedByBroker, match="refused for user 'alice', backend") as refused:
        channel.queue_declare("unknown")
    assert refused.value.reply_code == 403
    assert "Connection refused" in caplog.text or "reset" in caplog.text


# --- what it may do -------------------------------------------------------------------------------------


def test_questions_about_queues_are_those_of_rabbitmq(service: Service, connect: Connect) -> None:
    channel = connect().channel()
    service.take()
    channel.queue_declare("q1")
    assert service.take() == [thing("queue", "q1", "configure")]
    channel.queue_declare("q2", arguments={"x-dead-letter-exchange": "dlx"})
    assert service.take() == [
        thing("queue", "q2", "configure"),
        thing("queue", "q2", "read"),
        thing("exchange", "dlx", "write"),
    ]
    channel.queue_declare("q1", passive=True)
    assert service.take() == []
    channel.exchange_declare("t1", "topic")
    channel.exchange_declare("t2", "topic", arguments={"alternate-exchange": "ae"})
    assert service.take() == [
        thing("exchange", "t1", "configure"),
        thing("exchange", "t2", "configure"),
        thing("exchange", "t2", "read"),
        thing("exchange", "ae", "write"),
    ]
    channel.queue_bind("q1", "t1", "a.#")
    assert service.take() == [
        thing("queue", "q1", "write"),
        thing("exchange", "t1", "read"),
        topic("t1", "read", "a.#"),
    ]
    channel.basic_consume("q1", lambda *_: None)
    assert service.take() == [thing("queue", "q1", "read")]


def test_publishing_asks_once_for_each_exchange_and_key(service: Service, connect: Connect) -> None:
    channel = connect().channel()
    channel.confirm_delivery()
    channel.queue_declare("q1")
    channel.exchange_declare("t1", "topic")
    channel.queue_bind("q1", "t1", "a.#")
    service.take()
    for _ in range(3):
        channel.basic_publish("", "q1", b"x", mandatory=True)
    assert service.take() == [thing("exchange", "amq.default", "write")]
    for _ in range(3):
        channel.basic_publish("t1", "a.b", b"x", mandatory=True)
    assert service.take() == [thing("exchange", "t1", "write"), topic("t1", "write", "a.b")]
    assert [channel.basic_get("q1", auto_ack=True)[2] for _ in range(6)] == [b"x"] * 6
    assert service.take() == [thing("queue", "q1", "read")]


@pytest.mark.parametrize("broker", [{"profile": "rabbitmq:4.3"}], indirect=True)
def test_refusals_have_the_words_of_rabbitmq(service: Service, connect: Connect) -> None:
    connection = connect()
    connection.channel().exchange_declare("t1", "topic")
    connection.channel().queue_declare("q1", durable=True)
    service.deny("resource", name="secret")
    service.deny("topic", routing_key="secret.key")
    where = "in vhost '/' refused for user 'alice'"
    for act, text in (
        (lambda channel: channel.queue_declare("secret"), f"access to queue 'secret' {where}"),
        (lambda channel: channel.queue_declare("secret", passive=True), f"access to queue 'secret' {where}"),
        (lambda channel: channel.basic_get("secret"), f"access to queue 'secret' {where}"),
        (
            lambda channel: channel.basic_consume("secret", lambda *_: None),
            f"access to queue 'secret' {where}",
        ),
        (lambda channel: channel.queue_purge("secret"), f"access to queue 'secret' {where}"),
        (lambda channel: channel.queue_delete("secret"), f"access to queue 'secret' {where}"),
        (lambda channel: channel.exchange_declare("secret"), f"access to exchange 'secret' {where}"),
        (lambda channel: publish(channel, "secret", "k"), f"access to exchange 'secret' {where}"),
        (
            lambda channel: publish(channel, "t1", "secret.key"),
            f"access to topic 'secret.key' in exchange 't1' {where}",
        ),
        (
            lambda channel: channel.queue_bind("q1", "t1", "secret.key"),
            f"access to topic 'secret.key' in exchange 't1' {where}",
        ),
    ):
        with pytest.raises(ChannelClosedByBroker) as refused:
            act(connection.channel())
        assert (refused.value.reply_code, refused.value.reply_text) == (403, f"ACCESS_REFUSED - {text}")


def publish(channel: Any, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x")


def test_name_that_the_broker_chooses_is_asked_about_once(service: Service, connect: Connect) -> None:
    channel = connect().channel()
    service.take()
    name = channel.queue_declare("").method.queue
    assert service.take() == [thing("queue", name, "configure")]
    again = channel.queue_declare("", arguments={"x-dead-letter-exchange": "dlx"}).method.queue
    assert again != name
    assert [asked[1]["name"] for asked in service.take()] == [again, again, "dlx"]


def test_channel_may_publish_with_many_keys_in_one_go(service: Service, connect: Connect) -> None:
    """More than there may be questions of one operation: each publish is one of its own."""
    channel = connect().channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", "#")
    count = QUESTIONS_MAX + 50
    for number in range(count):
        channel.basic_publish("amq.topic", f"key.{number}", b"%d" % number)
    got = [channel.basic_get("q", auto_ack=True)[2] for _ in range(count)]
    assert got == [b"%d" % number for number in range(count)]


def test_publish_with_too_many_keys_to_ask_about_is_refused(service: Service, connect: Connect) -> None:
    """Keys in a CC header: there is an end to what one message may cost a service."""
    channel = connect().channel()
    properties = pika.BasicProperties(headers={"CC": [f"key.{number}" for number in range(QUESTIONS_MAX)]})
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker, match="one operation has too many questions"):
        channel.basic_publish("amq.topic", "key", b"x", properties)
    assert service.count("topic") < QUESTIONS_MAX


def test_transaction_waits_for_the_answer(service: Service, connect: Connect) -> None:
    channel = connect().channel()
    channel.queue_declare("q")
    channel.tx_select()
    channel.basic_publish("", "q", b"1")
    channel.basic_publish("", "q", b"2")
    channel.tx_commit()
    assert [channel.basic_get("q", auto_ack=True)[2] for _ in range(2)] == [b"1", b"2"]


def test_large_message_waits_for_the_answer(service: Service, connect: Connect) -> None:
    """One whose body comes in many frames, and is put together as they arrive."""
    channel = connect().channel()
    channel.queue_declare("q")
    body = bytes(range(256)) * 4096
    for _ in range(2):
        channel.basic_publish("", "q", body)
    assert channel.basic_get("q", auto_ack=True)[2] == body
    assert channel.basic_get("q", auto_ack=True)[2] == body


# --- waiting ----------------------------------------------------------------------------------------------


def in_thread(act: Any) -> tuple[threading.Thread, list[Any]]:
    """Do something that waits; what it returned or raised is in the list when the thread has ended."""
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(act())
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, done


def test_login_that_waits_holds_up_nobody_else(service: Service, connect: Connect) -> None:
    service.hold("slow")
    thread, done = in_thread(lambda: connect("slow"))
    service.wait_for("user", username="slow")
    channel = connect("alice").channel()
    channel.queue_declare("q")
    assert not done
    service.release("slow")
    thread.join(10)
    assert done[0].is_open


def test_permission_that_waits_holds_up_its_own_connection_alone(
    broker: Broker, service: Service, connect: Connect
) -> None:
    """What the client sends meanwhile is not read, and done in its order afterwards."""
    slow, other = connect("slow"), connect("alice").channel()
    channel = slow.channel()
    channel.confirm_delivery()
    service.hold("slow")

    def work() -> bytes:
        channel.queue_declare("of-slow")
        channel.basic_publish("", "of-slow", b"first", mandatory=True)
        got: bytes = channel.basic_get("of-slow", auto_ack=True)[2]
        return got

    thread, done = in_thread(work)
    service.wait_for("resource", username="slow", name="of-slow")
    other.queue_declare("of-alice")
    assert not done
    service.release("slow")
    thread.join(10)
    assert done == [b"first"]


def test_same_question_of_many_is_asked_once(service: Service, connect: Connect) -> None:
    service.hold("alice")
    first = in_thread(lambda: connect("alice"))
    service.wait_for("user", username="alice")
    others = [in_thread(lambda: connect("alice")) for _ in range(3)]
    connect("bob")  # Behind the others, as it was begun after them and has two questions of its own.
    service.release("alice")
    for thread, done in (first, *others):
        thread.join(10)
        assert done[0].is_open
    assert 1 <= service.count("user", username="alice") <= 4


@pytest.mark.parametrize(
    "broker", [{"auth_http_request_timeout_s": 1, "auth_http_connection_timeout_s": 1}], indirect=True
)
def test_service_that_does_not_answer_is_a_refusal_in_time(
    broker: Broker, service: Service, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    channel = connect("slow").channel()
    service.hold("slow")
    with pytest.raises(ProbableAuthenticationError, match=REFUSED):
        connect("slow", "other")
    with pytest.raises(ChannelClosedByBroker, match="returned an error: timeout"):
        channel.queue_declare("q")
    assert "it takes too long" in caplog.text


def test_client_that_goes_while_it_waits_leaves_nothing(
    broker: Broker, service: Service, connect: Connect
) -> None:
    connection = connect("slow")
    channel = connection.channel()
    service.hold("slow")
    thread, done = in_thread(lambda: channel.queue_declare("q"))
    service.wait_for("resource", username="slow")
    broker.call(lambda server: [driver.abort() for driver in server.clients])
    thread.join(10)
    assert isinstance(done[0], Exception)
    service.release("slow")
    assert connect("alice").channel().is_open
    assert broker.call(lambda server: "q" in server.core.vhosts["/"].queues) is False


def test_broker_stops_while_somebody_waits(service: Service) -> None:
    with Broker(**service.options()) as broker:
        service.hold("slow")
        credentials = pika.PlainCredentials("slow", password_of("slow"))
        parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "/", credentials)
        thread, done = in_thread(lambda: pika.BlockingConnection(parameters))
        service.wait_for("user", username="slow")
    thread.join(10)
    assert isinstance(done[0], Exception)


# --- backends in order, cache -----------------------------------------------------------------------------


@pytest.mark.parametrize("broker", [{"auth_backends": ("internal", "http")}], indirect=True)
def test_next_backend_is_asked_about_whom_the_first_does_not_know(service: Service, connect: Connect) -> None:
    assert connect("guest", "guest").channel().is_open
    assert service.asked == []
    assert connect("alice").channel().is_open
    assert service.count("user") == 1


@pytest.mark.parametrize("broker", [{"auth_backends": ("http", "internal")}], indirect=True)
def test_backend_that_fails_does_not_keep_the_next_one_from_being_asked(
    service: Service, connect: Connect
) -> None:
    service.say((500, ""), "user")
    assert connect("guest", "guest").channel().is_open


@pytest.mark.parametrize("broker", [{"auth_backends": ("http:internal",)}], indirect=True)
def test_one_says_who_it_is_and_another_what_it_may_do(
    broker: Broker, service: Service, connect: Connect
) -> None:
    """The tags of both count, as with RabbitMQ."""
    service.say("allow monitoring", "user", username="guest")
    connect("guest").channel().queue_declare("q")
    assert [kind for kind, _ in service.asked] == ["user"]
    tags = broker.call(lambda server: [one.user.tags for one in server.core.sessions])
    assert tags == [("monitoring", "administrator")]
    with pytest.raises(ProbableAuthenticationError):
        connect("alice")


@pytest.mark.parametrize("broker", [{"auth_backends": ("internal:http",)}], indirect=True)
def test_users_of_the_broker_may_do_what_the_service_says(service: Service, connect: Connect) -> None:
    service.deny("resource", name="secret")
    channel = connect("guest", "guest").channel()
    channel.queue_declare("q")
    assert service.asked[0] == ("user", {"username": "guest"})
    with pytest.raises(ChannelClosedByBroker):
        channel.queue_declare("secret")


CACHED = {"auth_backends": ("cache",), "auth_cache_cached_backend": "http"}


@pytest.mark.parametrize("broker", [CACHED], indirect=True)
def test_cache_keeps_what_was_allowed_for_its_time(
    broker: Broker, service: Service, connect: Connect
) -> None:
    for _ in range(2):
        connect().channel().queue_declare("q")
    assert [kind for kind, _ in service.take()] == ["user", "vhost", "resource"]
    broker.advance("14s")
    connect().channel().queue_declare("q")
    assert service.take() == []
    broker.advance("2s")
    connect().channel().queue_declare("q")
    assert [kind for kind, _ in service.take()] == ["user", "vhost", "resource"]


@pytest.mark.parametrize(
    ("broker", "asked"), [(CACHED, 2), ({**CACHED, "auth_cache_refusals": True}, 1)], indirect=["broker"]
)
def test_cache_keeps_refusals_only_if_it_is_told_to(asked: int, service: Service, connect: Connect) -> None:
    for _ in range(2):
        with pytest.raises(ProbableAuthenticationError):
            connect("alice", "wrong")
    assert service.count("user") == asked
    assert connect("alice").is_open


@pytest.mark.parametrize("broker", [CACHED], indirect=True)
def test_cache_holds_no_password_and_no_error(broker: Broker, service: Service, connect: Connect) -> None:
    service.say((500, ""), "user", username="eve")
    for _ in range(2):
        with pytest.raises(ProbableAuthenticationError):
            connect("eve")
    assert service.count("user", username="eve") == 2
    connect("alice")
    kept = broker.call(lambda server: list(server.core.users.outside._kept))
    assert kept
    assert not any(getattr(one, "password", b"") == password_of("alice").encode() for one in kept)


def test_without_a_cache_every_login_is_asked_about(service: Service, connect: Connect) -> None:
    for _ in range(2):
        connect()
    assert service.count("user") == 2


def test_connections_to_the_service_are_used_again(service: Service, connect: Connect) -> None:
    channel = connect().channel()
    for number in range(20):
        channel.queue_declare(f"q{number}")
    assert len(service.asked) == 22
    assert service.connections == 1


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"auth_backends": ("http:oauth2",)}, '"oauth2" decides both or nothing'),
        ({"auth_backends": ("cache:internal",)}, '"cache" decides both or nothing'),
        ({"auth_backends": ("http:",)}, "auth_backends must be of internal"),
        ({"auth_cache_cached_backend": "cache"}, "auth_cache_cached_backend must be of internal, http"),
        ({"auth_http_user_path": "ftp://x/"}, "auth_http_user_path must be a URL"),
    ],
)
def test_configuration_that_cannot_be_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Config(**options)
