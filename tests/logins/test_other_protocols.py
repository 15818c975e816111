"""What an HTTP service says counts over MQTT, STOMP, Kafka and the management API too (R8)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from bench.peers import await_true
from pillarbox import Broker, ManualClock
from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.broker.outside import QUESTIONS_MAX
from pillarbox.protocols.mqtt.packets import Publish, Will
from tests.logins.conftest import Connect
from tests.logins.service import Service, password_of
from tests.logins.test_http import in_thread
from tests.management.http import Client
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.talker import Talker
from tests.protocols.stomp.talking import Talking

pytestmark = pytest.mark.row("R8")

SUCCESS, BAD_PASSWORD, NOT_AUTHORIZED = 0, 0x86, 0x87
"""Reason codes of MQTT 5."""


def seen(service: Service) -> list[tuple[str, ...]]:
    """What was asked, in short."""
    return [
        (kind, *(fields[name] for name in ("name", "permission", "routing_key") if name in fields))
        for kind, fields in service.take()
    ]


# --- MQTT -------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(request: pytest.FixtureRequest, service: Service) -> Iterator[Broker]:
    """Asks the service; `request.param` are further options."""
    options = service.options(**getattr(request, "param", {}))
    with Broker(clock=ManualClock(), management_port=0, mqtt_port=0, stomp_port=0, **options) as running:
        yield running


@pytest.fixture
def talker(broker: Broker) -> Iterator[Talker]:
    made = Talker(broker.mqtt_port, 5)
    yield made
    made.cut()


def log_in(talker: Talker, user: str = "alice", client_id: str = "c1", **more: Any) -> int:
    answer = talker.connect(client_id, username=user, password=password_of(user).encode(), **more)
    reason: int = answer.fields["reason"]
    return reason


def test_mqtt_client_is_let_in_by_the_service(service: Service, talker: Talker) -> None:
    assert log_in(talker) == SUCCESS
    login, entry = service.asked
    assert login == (
        "user",
        {"username": "alice", "password": password_of("alice"), "vhost": "/", "client_id": "c1"},
    )
    assert entry == (
        "vhost",
        {"username": "alice", "vhost": "/", "ip": "127.0.0.1", "tags": "", "client_id": "c1"},
    )


def test_mqtt_client_without_an_identifier_has_one_for_all_questions(
    service: Service, talker: Talker
) -> None:
    assert log_in(talker, client_id="") == SUCCESS
    (_, login), (_, entry) = service.asked
    assert login["client_id"] == entry["client_id"]
    assert login["client_id"].startswith("auto-")


def test_mqtt_client_whom_the_service_denies_is_refused(service: Service, broker: Broker) -> None:
    service.deny("user", username="eve")
    service.deny("vhost", username="stranger")
    assert log_in(Talker(broker.mqtt_port, 5), "eve") == BAD_PASSWORD
    assert log_in(Talker(broker.mqtt_port, 5), "stranger") == NOT_AUTHORIZED


def test_mqtt_filters_are_decided_one_by_one(service: Service, talker: Talker) -> None:
    """One packet with several filters: each has its own answer, and none is done twice."""
    service.deny("topic", routing_key="secret")
    log_in(talker)
    service.take()
    assert talker.subscribe("open/a", "secret", "open/b", qos=1) == [1, NOT_AUTHORIZED, 1]
    asked = seen(service)
    assert len(asked) == len(set(asked))
    queue = asked[0][1]
    assert asked == [
        ("resource", queue, "read"),
        ("resource", queue, "configure"),
        ("resource", queue, "write"),
        ("resource", "amq.topic", "read"),
        ("topic", "amq.topic", "read", "open.a"),
        ("topic", "amq.topic", "read", "secret"),
        ("topic", "amq.topic", "read", "open.b"),
    ]


def test_mqtt_retained_message_is_told_once(service: Service, broker: Broker) -> None:
    first = Talker(broker.mqtt_port, 5)
    log_in(first, client_id="p")
    first.publish("kept", b"retained", qos=1, retain=True)
    talker = Talker(broker.mqtt_port, 5)
    log_in(talker)
    talker.subscribe("kept", "other", qos=1)
    message = talker.hear()
    assert (message.fields["topic"], message.fields["payload"]) == ("kept", b"retained")
    first.publish("other", b"next", qos=1)
    assert talker.hear().fields["payload"] == b"next"


def test_mqtt_messages_keep_their_order_while_the_service_is_asked(broker: Broker, service: Service) -> None:
    """With an unmodified client: what it publishes to new and to known topics."""
    got: list[bytes] = []
    done, ready = threading.Event(), threading.Event()

    def on_message(client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        got.append(message.payload)
        if len(got) == 30:
            done.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho", protocol=mqtt.MQTTv5)
    client.username_pw_set("alice", password_of("alice"))
    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe("t/#", 1)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", broker.mqtt_port)
    client.loop_start()
    try:
        assert ready.wait(10)
        for number in range(30):
            client.publish(f"t/{number % 4}", b"%d" % number, 1)
        assert done.wait(10)
    finally:
        client.disconnect()
        client.loop_stop()
    assert got == [b"%d" % number for number in range(30)]
    assert service.count("topic", permission="write") == 4


def test_mqtt_client_may_publish_to_many_topics_in_one_go(service: Service, talker: Talker) -> None:
    """More than there may be questions of one operation: each packet is one of its own."""
    log_in(talker)
    talker.subscribe("many/#", qos=0)
    count = QUESTIONS_MAX + 50
    publishes = (Publish(topic=f"many/{number}", payload=b"x") for number in range(count))
    talker.write(b"".join(peer.encode(publish, 5) for publish in publishes))
    topics = [talker.hear().fields["topic"] for _ in range(count)]
    assert topics == [f"many/{number}" for number in range(count)]


def test_mqtt_publish_that_is_denied_is_answered_so(service: Service, talker: Talker) -> None:
    service.deny("topic", routing_key="secret")
    log_in(talker)
    talker.say(Publish(topic="secret", payload=b"x", qos=1, packet_id=1))
    assert talker.hear().fields["reason"] == NOT_AUTHORIZED
    talker.publish("open", b"x", qos=1)


def will_of(topic: str, payload: bytes) -> Will:
    return Will(topic=topic, payload=payload, qos=1, retain=False, properties={})


def test_mqtt_will_is_published_when_it_is_allowed(service: Service, broker: Broker) -> None:
    listener = Talker(broker.mqtt_port, 5)
    log_in(listener)
    listener.subscribe("wills/#", qos=1)
    service.deny("topic", routing_key="wills.b")
    for name in ("b", "a"):
        talker = Talker(broker.mqtt_port, 5)
        log_in(talker, client_id=f"with-{name}", will=will_of(f"wills/{name}", name.encode()))
        talker.cut()
        service.wait_for("topic", routing_key=f"wills.{name}")
    assert listener.hear().fields["payload"] == b"a"


def test_mqtt_session_is_resumed_when_that_is_allowed(service: Service, broker: Broker) -> None:
    for number in range(2):
        talker = Talker(broker.mqtt_port, 5)
        assert log_in(talker, clean=False, session_expiry_interval=100) == SUCCESS
        if not number:
            talker.subscribe("t", qos=1)
        talker.cut()
    sender = Talker(broker.mqtt_port, 5)
    log_in(sender, client_id="sender")
    talker = Talker(broker.mqtt_port, 5)
    log_in(talker, clean=False, session_expiry_interval=100)
    sender.publish("t", b"x", qos=1)
    assert talker.hear().fields["payload"] == b"x"


# --- STOMP -------------------------------------------------------------------------------------------------


@pytest.fixture
def stomp(broker: Broker) -> Iterator[Talking]:
    with Talking(broker.stomp_address) as client:
        yield client


def test_stomp_client_is_let_in_by_the_service(service: Service, stomp: Talking) -> None:
    assert stomp.connect(login="alice", passcode=password_of("alice")).command == "CONNECTED"
    assert service.take() == [
        ("user", {"username": "alice", "password": password_of("alice"), "vhost": "/"}),
        ("vhost", {"username": "alice", "vhost": "/", "ip": "127.0.0.1", "tags": ""}),
    ]
    stomp.done("SEND", {"destination": "/queue/sq"}, "1")
    assert seen(service) == [("resource", "sq", "configure"), ("resource", "amq.default", "write")]
    stomp.done("SEND", {"destination": "/queue/sq"}, "2")
    stomp.done("SUBSCRIBE", {"destination": "/topic/a.b", "id": "1"})
    asked = seen(service)
    assert len(asked) == len(set(asked)) == 5
    stomp.say("SUBSCRIBE", {"destination": "/queue/sq", "id": "2"})
    assert [stomp.message().body for _ in range(2)] == [b"1", b"2"]


def test_stomp_client_whom_the_service_denies_is_told(service: Service, broker: Broker) -> None:
    with Talking(broker.stomp_address) as client:
        got = client.connect(login="alice", passcode="wrong")
        assert (got.command, got.headers["message"]) == ("ERROR", "Bad CONNECT")
    service.deny("vhost", username="eve")
    with Talking(broker.stomp_address) as client:
        got = client.connect(login="eve", passcode=password_of("eve"))
        assert (got.command, got.body) == ("ERROR", b"Virtual host '/' access denied")
    service.deny("resource", name="secret")
    with Talking(broker.stomp_address) as client:
        client.connect(login="alice", passcode=password_of("alice"))
        client.send("/queue/secret", "x")
        text = "access to queue 'secret' in vhost '/' refused for user 'alice'"
        got = client.error()
        assert (got.headers["message"], got.body.decode()) == ("access_refused", f"ACCESS_REFUSED - {text}")


def test_stomp_frames_keep_their_order_while_the_service_is_asked(service: Service, stomp: Talking) -> None:
    stomp.connect(login="alice", passcode=password_of("alice"))
    for number in range(20):
        stomp.send(f"/queue/q{number % 3}", str(number))
    stomp.say("SUBSCRIBE", {"destination": "/temp-queue/none", "id": "t"})
    for number in range(3):
        stomp.say("SUBSCRIBE", {"destination": f"/queue/q{number}", "id": str(number)})
    bodies = [int(stomp.message().body) for _ in range(20)]
    assert [[one for one in bodies if one % 3 == number] for number in range(3)] == [
        list(range(number, 20, 3)) for number in range(3)
    ]


def test_stomp_reply_queue_is_made_once(service: Service, stomp: Talking, broker: Broker) -> None:
    stomp.connect(login="alice", passcode=password_of("alice"))
    stomp.done("SEND", {"destination": "/queue/q", "reply-to": "/temp-queue/r"}, "ask")
    queues = broker.call(lambda server: list(server.core.vhosts["/"].queues))
    assert sorted(name.startswith("stomp-temp-") for name in queues) == [False, True]
    stomp.say("SUBSCRIBE", {"destination": "/queue/q", "id": "1"})
    stomp.send(stomp.message().headers["reply-to"], "answer")
    assert stomp.message().body == b"answer"


# --- the management API ------------------------------------------------------------------------------------


def http(broker: Broker, user: str, password: str | None = None) -> Client:
    return Client(broker.management_url, user, password_of(user) if password is None else password)


def test_management_asks_the_service_who_it_is(service: Service, broker: Broker) -> None:
    service.say("allow administrator", "user", username="boss", password=password_of("boss"))
    assert http(broker, "boss").get("whoami") == {"name": "boss", "tags": ["administrator"]}
    assert http(broker, "boss").get("queues/%2F") == []
    assert service.take() == [
        ("user", {"username": "boss", "password": password_of("boss")}),
        ("user", {"username": "boss", "password": password_of("boss"), "vhost": "/"}),
    ]
    for user, password, reason in (
        ("boss", "wrong", {"error": "not_authorized", "reason": "Login failed"}),
        ("alice", None, {"error": "not_authorised", "reason": "Not management user"}),
    ):
        reply = http(broker, user, password).request("GET", "queues")
        assert (reply.status, reply.document) == (401, reason)


def test_management_shows_what_the_service_lets_somebody_enter(service: Service, broker: Broker) -> None:
    service.say("allow management", "user", username="mary")
    service.say("deny", "vhost", username="mary", vhost="hidden")
    for name in ("seen", "hidden"):
        broker.call(lambda server, name=name: server.core.add_vhost(name))
    api = http(broker, "mary")
    assert [one["name"] for one in api.get("vhosts")] == ["/", "seen"]
    assert api.request("PUT", "queues/seen/q", {}).status == 201
    assert [one["vhost"] for one in api.get("queues")] == ["seen"]
    reply = api.request("GET", "queues/hidden")
    assert (reply.status, reply.document["reason"]) == (401, "User not authorised to access virtual host")
    service.deny("resource", username="mary", name="secret")
    reply = api.request("PUT", "queues/seen/secret", {})
    text = "access to queue 'secret' in vhost 'seen' refused for user 'mary'"
    assert (reply.status, reply.document["reason"]) == (401, text)
    reply = api.request("POST", "exchanges/seen/amq.default/publish", MESSAGE)
    assert (reply.status, reply.document) == (200, {"routed": True})


MESSAGE = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}


def test_management_login_form_asks_too(service: Service, broker: Broker) -> None:
    api = http(broker, "nobody")
    assert api.request("POST", "login", b"username=mary&password=mary%27s").status == 200
    assert api.request("POST", "login", b"username=mary&password=no").status == 401


def test_management_serves_others_while_it_waits(service: Service, broker: Broker, connect: Connect) -> None:
    service.say("allow administrator", "user")
    service.hold("slow")
    thread, done = in_thread(lambda: http(broker, "slow").get("whoami"))
    service.wait_for("user", username="slow")
    assert http(broker, "boss").get("whoami")["name"] == "boss"
    assert connect("alice").is_open
    assert not done
    service.release("slow")
    thread.join(10)
    assert done == [{"name": "slow", "tags": ["administrator"]}]


def test_shovel_logs_in_to_this_broker_as_whom_the_service_lets_in(service: Service, broker: Broker) -> None:
    service.say("allow administrator", "user", username="alice")
    url = f"amqp://alice:{password_of('alice')}@/%2F"
    value = {"src-uri": url, "dest-uri": url, "src-queue": "from", "dest-queue": "to"}
    api = http(broker, "alice")
    assert api.request("PUT", "parameters/shovel/%2F/s", {"value": value}).status == 201

    def state() -> Any:
        return api.request("GET", "shovels/vhost/%2F/s").document.get("state")

    await_true(lambda: state() == "running", 30, "the shovel runs")
    assert service.count("user", username="alice", password=password_of("alice")) >= 2


# --- Kafka -------------------------------------------------------------------------------------------------


@pytest.fixture
def kafka(service: Service) -> Iterator[Broker]:
    with Broker(kafka_port=0, **service.options()) as running:
        yield running


def settings(broker: Broker, user: str, password: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.kafka_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password_of(user) if password is None else password,
        "topic.metadata.refresh.interval.ms": 1000,
        **more,
    }


def produce(broker: Broker, user: str, topic: str, values: list[bytes], **more: Any) -> list[str]:
    """Send them and return the names of errors."""
    failed: list[str] = []
    producer = Producer(settings(broker, user, **{"message.timeout.ms": 60_000, **more}))
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and failed.append(error.name()))
    assert producer.flush(60) == 0
    return failed


def test_kafka_clients_produce_and_consume_what_the_service_allows(kafka: Broker, service: Service) -> None:
    values = [b"%d" % number for number in range(50)]
    assert produce(kafka, "alice", "open", values) == []
    consumer = Consumer(settings(kafka, "alice", **{"group.id": "g", "auto.offset.reset": "earliest"}))
    consumer.subscribe(["open"])
    got: list[bytes] = []
    while len(got) < len(values):
        message = consumer.poll(60)
        assert message is not None
        assert message.error() is None
        got.append(message.value())
    consumer.close()
    assert got == values


def test_kafka_client_whom_the_service_denies_is_refused(kafka: Broker, service: Service) -> None:
    with pytest.raises(KafkaException, match=r"_TRANSPORT|_AUTHENTICATION"):
        Producer(settings(kafka, "alice", "wrong")).list_topics(timeout=3)
    assert service.count("user", username="alice", password="wrong") >= 1
    service.deny("resource", name="secret")
    assert produce(kafka, "alice", "secret", [b"x"]) == ["TOPIC_AUTHORIZATION_FAILED"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_kafka_client_that_proves_its_password_may_do_what_the_service_says(
    service: Service, mechanism: str
) -> None:
    """What the broker's own permissions say means nothing where others decide."""
    backends = {"auth_backends": ("internal:http",)}
    with Broker(kafka_port=0, kafka_anonymous_user="none", **service.options(**backends)) as broker:

        def add(core: Core) -> None:
            for name in ("alice", "eve"):
                core.add_user(name, password_of(name))
            core.set_permission(Permission("eve", "/", ".*", ".*", ".*"))

        broker.call(lambda server: add(server.core))
        service.deny("resource", username="eve")
        said = {"sasl.mechanism": mechanism}
        assert produce(broker, "alice", "open", [b"x"], **said) == []
        assert produce(broker, "eve", "open", [b"x"], **said) == ["TOPIC_AUTHORIZATION_FAILED"]
        service.deny("user", username="mallory")
        broker.call(lambda server: server.core.add_user("mallory", "pw"))
        with pytest.raises(KafkaException, match=r"_TRANSPORT|_AUTHENTICATION"):
            Producer(settings(broker, "mallory", "pw", **said)).list_topics(timeout=3)
