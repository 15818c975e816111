"""Many sessions, and one that comes and goes all the time."""

from __future__ import annotations

import msgspec
import pytest

from pillarbox.broker.administration import remove_vhost
from pillarbox.broker.auth import Permission
from pillarbox.broker.definitions import key_of
from pillarbox.protocols.mqtt.head import Head, Settings
from pillarbox.protocols.mqtt.packets import Publish, Subscribe, Subscription, Unsubscribe, Will
from pillarbox.protocols.mqtt.sessions import FOR_EVER, STALE_MAX, Subscribed
from tests.broker.broker_tools import NOW_MS, Domain
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.rig import connect

SHARED = "$share/g/a/+"
QUEUE = "mqtt-shared-g/a/+"


class Clients:
    """Connections of many clients on one broker."""

    def __init__(self) -> None:
        self.domain = Domain()
        self.head = self._head()

    def _head(self) -> Head:
        return Head(self.domain.core, Settings(anonymous="guest"))

    def connect(self, client_id: str, *said: object, expiry_s: int = 100, **more: object):  # type: ignore[no-untyped-def]
        connection = self.head.connect("127.0.0.1:1 -> 127.0.0.1:2")
        data = connect(5, clean=False, client_id=client_id, session_expiry_interval=expiry_s, **more)
        connection.receive(data + b"".join(peer.encode(one, 5) for one in said))  # type: ignore[arg-type]
        self.domain.run()
        assert not connection.want_close
        return connection

    def leave(self, connection) -> None:  # type: ignore[no-untyped-def]
        connection.closed("gone")
        self.domain.run()

    def restart(self) -> None:
        self.domain.restart()
        self.head = self._head()

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.head.sessions.by_client}


@pytest.mark.row("A64")
def test_each_session_ends_when_its_time_has_gone_by() -> None:
    clients = Clients()
    for number in range(1, 51):
        clients.leave(clients.connect(f"c{number}", expiry_s=1 + number * 7 % 50))
    for second in range(1, 52):
        clients.domain.advance(1000)
        clients.domain.run()
        left = {f"c{number}" for number in range(1, 51) if 1 + number * 7 % 50 > second}
        assert clients.names == left
    assert clients.head.sessions.expired == 50


def test_who_is_back_in_time_has_its_whole_time_again() -> None:
    clients = Clients()
    clients.leave(clients.connect("a", expiry_s=10))
    clients.domain.advance(9000)
    back = clients.connect("a", expiry_s=10)
    clients.domain.advance(9000)
    clients.domain.run()
    assert clients.names == {"a"}
    clients.leave(back)
    clients.domain.advance(9999)
    clients.domain.run()
    assert clients.names == {"a"}
    clients.domain.advance(1)
    clients.domain.run()
    assert not clients.names


def test_a_client_that_comes_and_goes_leaves_nothing_behind() -> None:
    """Neither here nor among the timers of the core."""
    clients = Clients()
    for _ in range(3 * STALE_MAX):
        clients.leave(clients.connect("a", expiry_s=86_400))
        clients.domain.advance(10)
    assert len(clients.head.sessions._due) <= STALE_MAX + 3
    assert len(clients.domain.core.scheduler._heap) < 100
    clients.domain.advance(86_400_000)
    clients.domain.run()
    assert not clients.names


def test_a_shared_queue_goes_with_the_last_who_has_it() -> None:
    """Also if somebody has subscribed twice, and after a restart."""
    clients = Clients()
    subscribe = Subscribe(1, [Subscription(SHARED, 1)], {})
    first = clients.connect("a", subscribe, subscribe)
    clients.leave(clients.connect("b", subscribe, expiry_s=50))
    third = clients.connect("c", subscribe)
    clients.leave(third)
    assert clients.head.sessions.shared_subscriptions == 3
    first.receive(peer.encode(Unsubscribe(2, [SHARED], {}), 5))
    clients.domain.run()
    assert clients.head.sessions.shared_subscriptions == 2
    clients.leave(first)
    clients.restart()
    assert clients.head.sessions.shared_subscriptions == 2
    assert QUEUE in clients.domain.vhost.queues
    clients.domain.advance(60_000)
    clients.domain.run()
    assert clients.names == {"a", "c"}
    assert QUEUE in clients.domain.vhost.queues
    clients.domain.advance(60_000)
    clients.domain.run()
    assert QUEUE not in clients.domain.vhost.queues


def test_wills_come_each_in_its_time() -> None:
    clients = Clients()
    watcher = clients.connect("watcher", Subscribe(1, [Subscription("will/+", 0)], {}))
    for number in range(1, 11):
        delay = {"will_delay_interval": number * 3 % 11}
        will = Will(topic=f"will/{number}", payload=b"x", qos=0, retain=False, properties=delay)
        clients.leave(clients.connect(f"c{number}", will=will))
    back = clients.connect("c1")
    watcher.take_output()
    heard = []
    for second in range(1, 12):
        clients.domain.advance(1000)
        clients.domain.run()
        output = b"".join(map(bytes, watcher.take_output()))
        while output:
            received, output = peer.decode(output, 5)
            heard.append((second, received.fields["topic"]))
    expected = sorted((number * 3 % 11, f"will/{number}") for number in range(2, 11))
    assert sorted(heard) == expected
    clients.leave(back)


def test_a_crash_leaves_no_shared_queue_that_nobody_has() -> None:
    """One that clients have shared whose sessions end with them: it would be filled for ever."""
    clients = Clients()
    subscribe = Subscribe(1, [Subscription(SHARED, 1)], {})
    clients.connect("passing", subscribe, expiry_s=0)
    clients.restart()
    clients.domain.run()
    assert QUEUE not in clients.domain.vhost.queues
    clients.connect("passing", subscribe, expiry_s=0)
    clients.connect("kept", subscribe)
    for _ in range(2):
        clients.restart()
        clients.domain.run()
        assert QUEUE in clients.domain.vhost.queues
    assert clients.names == {"kept"}
    clients.domain.advance(200_000)
    clients.domain.run()
    assert not clients.names
    assert QUEUE not in clients.domain.vhost.queues
    assert not list(clients.domain.core.kept("["))


def test_a_virtual_host_that_goes_takes_sessions_wills_and_retained_messages_along() -> None:
    """One of its name that is made later inherits nothing, also after a restart."""
    clients = Clients()
    core = clients.domain.core
    will = Will(topic="w", payload=b"x", qos=0, retain=True, properties={"will_delay_interval": 50})
    for number in range(250):
        said = Subscribe(1, [Subscription("a", 1), Subscription(SHARED, 1)], {})
        clients.leave(clients.connect(f"c{number}", said, will=will))
        publish = Publish(topic=f"t/{number}", payload=b"x", qos=0, retain=True, packet_id=0, properties={})
        clients.leave(clients.connect("writer", publish, expiry_s=0))
    watching = clients.connect("watching", Subscribe(1, [Subscription("w", 1)], {}))
    assert remove_vhost(core, "/")
    clients.domain.run()
    assert watching.want_close
    core.add_vhost("/")
    core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
    clients.domain.advance(60_000)
    for _ in range(2):
        clients.domain.run()
        assert not clients.names
        assert clients.head.retained.count == 0
        assert not list(clients.domain.core.kept('["mqtt","s'))
        clients.restart()


def test_what_a_subscription_costs_does_not_grow_with_their_number() -> None:
    """Neither what is kept of each, nor who gets a topic that the client has named."""
    clients = Clients()
    said = Subscribe(1, [Subscription(f"t/{number}", number % 3) for number in range(500)], {})
    connection = clients.connect(
        "a", said, Subscribe(2, [Subscription("t/+", 0), Subscription("t/7", 2)], {})
    )
    assert max(len(value) for _, value in clients.domain.core.kept('["mqtt",')) < 200
    clients.leave(connection)
    for _ in range(2):
        (session,) = clients.head.sessions.by_client.values()
        assert [session.grant(f"t/{number}").qos for number in (4, 5, 7, 500)] == [1, 2, 2, 0]
        assert session.grant("u") is None
        assert len(session._wild or ()) == 1
        clients.restart()
    unsubscribe = Unsubscribe(3, [f"t/{number}" for number in range(500)], {})
    clients.leave(clients.connect("a", unsubscribe))
    clients.restart()
    (session,) = clients.head.sessions.by_client.values()
    assert list(session.subscriptions) == ["t/+"]


def test_subscriptions_that_were_kept_with_their_session_are_taken_over() -> None:
    """As it was before each was kept by itself."""
    clients = Clients()
    core = clients.domain.core
    old = msgspec.msgpack.encode(
        (1000, NOW_MS, [Subscribed(Subscription(one, 1), 7) for one in ("a/+", SHARED)])
    )
    core.keep(key_of("mqtt", "session", "/", "a"), old)
    for _ in range(3):
        clients.domain.run()
        clients.restart()
        (session,) = clients.head.sessions.by_client.values()
        assert list(session.subscriptions) == ["a/+", SHARED]
        assert session.grant("a/b") == (1, False, (7,))
        assert clients.head.sessions.shared_subscriptions == 1
    assert not [key for key, value in clients.domain.core.kept("[") if value == old]


def test_a_session_of_before_lives_no_longer_than_the_operator_wants_now() -> None:
    clients = Clients()
    clients.leave(clients.connect("a", expiry_s=FOR_EVER))
    clients.domain.restart()
    clients.head = Head(clients.domain.core, Settings(anonymous="guest", session_expiry_max_s=60))
    clients.domain.advance(59_000)
    clients.domain.run()
    assert clients.names == {"a"}
    clients.domain.advance(1000)
    clients.domain.run()
    assert not clients.names
