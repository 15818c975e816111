"""Login, versions, heart-beats, receipts and errors of a STOMP connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.errors import Reason
from pillarbox.protocols.stomp.connection import SHARE, Connection, State
from pillarbox.protocols.stomp.errors import FATAL, REASONS
from tests.protocols.stomp.rig import NOW_MS, Rig, without_socket
from tests.protocols.stomp.talking import Talking


def said(connection: Connection) -> bytes:
    return b"".join(connection.take_output())


@pytest.mark.parametrize(
    ("offered", "version"), [("1.0", "1.0"), ("1.1,1.0", "1.1"), ("1.0,1.1,1.2", "1.2"), ("1.2,9.9", "1.2")]
)
@pytest.mark.row("A1", "R142")
def test_highest_common_version_is_chosen(stranger: Talking, offered: str, version: str) -> None:
    got = stranger.connect(offered)
    assert (got.command, got.headers["version"]) == ("CONNECTED", version)
    assert got.headers["server"].startswith("RabbitMQ/")
    assert got.headers["session"].startswith("session-")


@pytest.mark.row("A1")
def test_client_that_names_no_version_speaks_1_0(stranger: Talking) -> None:
    stranger.say("CONNECT", {"login": "guest", "passcode": "guest"})
    assert stranger.read().headers["version"] == "1.0"


@pytest.mark.row("A1")
def test_frame_stomp_logs_in_as_connect_does(stranger: Talking) -> None:
    stranger.say("STOMP", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})
    assert stranger.read().command == "CONNECTED"


@pytest.mark.parametrize(
    ("headers", "message", "body"),
    [
        ({"accept-version": "2.0"}, "Version mismatch", "Supported versions are 1.0,1.1,1.2"),
        ({"passcode": "wrong"}, "Bad CONNECT", "Access refused for user 'guest'"),
        ({"login": "nobody"}, "Bad CONNECT", "Access refused for user 'nobody'"),
        ({"host": "elsewhere"}, "Bad CONNECT", "Virtual host 'elsewhere' access denied"),
        ({"heart-beat": "often"}, "Bad CONNECT", "header 'heart-beat' is 'often': it must be two numbers"),
    ],
)
@pytest.mark.row("A10", "A45", "R142")
def test_login_that_is_refused_is_told_why(
    stranger: Talking, headers: dict[str, str], message: str, body: str
) -> None:
    whole = {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"} | headers
    stranger.say("CONNECT", whole)
    error = stranger.error()
    assert (error.headers["message"], error.body.decode()) == (message, body)
    assert error.headers["content-type"] == "text/plain"


@pytest.mark.row("A10")
def test_nothing_can_be_done_before_the_login(stranger: Talking) -> None:
    stranger.say("SEND", {"destination": "/queue/a"})
    assert stranger.error().headers["message"] == "Illegal command"


@pytest.mark.row("A45")
def test_client_that_does_not_log_in_acts_as_the_user_whom_the_settings_name() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")
    assert said(connection).startswith(b"CONNECTED\n")
    assert connection.session is not None
    assert connection.session.user.name == "guest"


@pytest.mark.row("A45")
def test_client_that_does_not_log_in_is_refused_where_all_have_to() -> None:
    connection = without_socket(anonymous="")
    connection.receive(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")
    assert b"it has not logged in" in said(connection)
    assert connection.want_close


@pytest.mark.row("A45")
def test_loopback_user_is_refused_from_elsewhere() -> None:
    connection = without_socket()
    connection.loopback = False
    connection.receive(b"CONNECT\nlogin:guest\npasscode:guest\n\n\0")
    assert b"non-loopback access denied" in said(connection)


@pytest.mark.row("A45")
def test_certificate_logs_in_as_the_user_of_its_name() -> None:
    connection = without_socket(anonymous="")
    connection.core.add_user("cert", "x")
    connection.core.set_permission(Permission("cert", "/", ".*", ".*", ".*"))
    connection.certificate_user = "cert"
    connection.receive(b"CONNECT\nhost:/\n\n\0")
    assert said(connection).startswith(b"CONNECTED\n")
    assert connection.session is not None
    assert connection.session.user.name == "cert"


@pytest.mark.row("A45")
def test_permissions_are_those_of_the_user(broker: object, stranger: Talking) -> None:
    def restrict(server: object) -> None:
        core: Core = server.core  # type: ignore[attr-defined]
        core.add_user("reader", "reader")
        core.set_permission(Permission("reader", "/", "^$", "^$", ".*"))

    broker.call(restrict)  # type: ignore[attr-defined]
    stranger.connect(login="reader", passcode="reader")
    stranger.send("/amq/queue/anything", "x")
    error = stranger.error()
    assert error.headers["message"] == "access_refused"
    assert b"refused for user 'reader'" in error.body


@pytest.mark.row("A10")
def test_every_reason_of_the_domain_has_its_words() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize(
    ("command", "headers", "message"),
    [
        ("FOO", {}, "Bad command"),
        ("CONNECT", {}, "Bad CONNECT"),
        ("SEND", {}, "Missing destination"),
        ("SEND", {"destination": "/nowhere"}, "Unknown destination"),
        ("SEND", {"destination": "/queue/"}, "Invalid destination"),
        ("SEND", {"destination": "/queue/a/b"}, "Invalid destination"),
        ("SEND", {"destination": "/exchange/"}, "Invalid destination"),
        ("SEND", {"destination": "/exchange/nobody-has-made-it/k"}, "not_found"),
        ("SEND", {"destination": "/queue/a", "priority": "high"}, "Invalid header"),
        ("SEND", {"destination": "/queue/a", "expiration": "soon"}, "precondition_failed"),
        ("SEND", {"destination": "/queue/a", "user-id": "somebody"}, "precondition_failed"),
        ("SEND", {"destination": "/queue/a", "x" * 300: "name"}, "Invalid header"),
        ("SEND", {"destination": "/queue/new-a", "x-message-ttl": "long"}, "Invalid header"),
        (
            "SEND",
            {"destination": "/queue/a", "AMQ_SCHEDULED_REPEAT": "1", "x-delay-period": "soon"},
            "Invalid header",
        ),
        ("SEND", {"destination": "/queue/a", "transaction": "t"}, "Bad transaction"),
        ("SUBSCRIBE", {"id": "1"}, "Missing destination"),
        ("SUBSCRIBE", {"id": "1", "destination": "/reply-queue/x"}, "Invalid destination"),
        ("SUBSCRIBE", {"id": "1", "destination": "/amq/queue/nobody-has-made-it"}, "not_found"),
        ("SUBSCRIBE", {"id": "1", "destination": "/exchange/nobody-has-made-it"}, "not_found"),
        ("SUBSCRIBE", {"id": "1", "destination": "/queue/a", "ack": "sometimes"}, "Invalid header"),
        ("SUBSCRIBE", {"id": "1", "destination": "/queue/a", "prefetch-count": "x"}, "Invalid header"),
        ("SUBSCRIBE", {"destination": "/topic/a", "durable": "true"}, "Missing Header"),
        (
            "SUBSCRIBE",
            {"id": "1", "destination": "/topic/a", "activemq.subscriptionName": "n"},
            "Invalid Subscription",
        ),
        ("UNSUBSCRIBE", {"id": "1"}, "No subscription found"),
        ("UNSUBSCRIBE", {}, "Missing destination or id"),
        ("ACK", {}, "Missing header"),
        ("ACK", {"id": "1"}, "Invalid header"),
        ("NACK", {"id": "T_1@@session-x@@1"}, "Invalid header"),
        ("BEGIN", {}, "Missing transaction"),
        ("COMMIT", {"transaction": "t"}, "Bad transaction"),
        ("ABORT", {"transaction": "t"}, "Bad transaction"),
    ],
)
@pytest.mark.row("A10", "R142")
def test_frame_that_is_wrong_is_answered_by_an_error(
    client: Talking, command: str, headers: dict[str, str], message: str
) -> None:
    got = client.ask(command, headers)
    assert (got.command, got.headers["message"]) == ("ERROR", message)
    assert got.body
    if message in FATAL:
        assert client.is_closed()
    else:
        client.done("BEGIN", {"transaction": "goes on"})


@pytest.mark.row("A10")
def test_error_names_the_receipt_of_its_frame(client: Talking) -> None:
    assert client.ask("FOO").headers["receipt-id"] == "r1"


@pytest.mark.row("A13", "A45")
def test_whoever_is_silent_before_the_login_is_cut() -> None:
    connection = without_socket(handshake_timeout_ms=1000)
    connection.tick(NOW_MS + 999)
    assert not connection.want_close
    connection.tick(NOW_MS + 1000)
    assert connection.want_close


@pytest.mark.row("A12")
def test_heart_beats_are_sent_and_expected_as_agreed() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\nheart-beat:5000,4000\n\n\0")
    assert b"heart-beat:4000,5000\n" in said(connection)
    connection.tick(NOW_MS + 1999)
    assert said(connection) == b""
    connection.tick(NOW_MS + 2000)
    assert said(connection) == b"\n"
    connection.core.set_time(NOW_MS + 9000)
    connection.receive(b"\n")
    connection.tick(NOW_MS + 19_000)
    assert not connection.want_close
    connection.tick(NOW_MS + 19_001)
    assert connection.want_close


@pytest.mark.row("A12")
def test_client_that_wants_no_heart_beats_gets_none_and_may_be_silent() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\n\n\0")
    assert b"heart-beat:0,0\n" in said(connection)
    connection.tick(NOW_MS + 3_600_000)
    assert said(connection) == b""
    assert not connection.want_close


@pytest.mark.row("A4")
def test_receipts_come_in_order_and_disconnect_is_the_last(client: Talking, name: str) -> None:
    client.send(f"/queue/{name}", "a", persistent="true", receipt="first")
    client.say("BEGIN", {"transaction": "t", "receipt": "second"})
    client.say("DISCONNECT", {"receipt": "third"})
    assert [client.read().headers["receipt-id"] for _ in range(3)] == ["first", "second", "third"]
    assert client.is_closed()


@pytest.mark.row("A4")
def test_receipt_is_given_back_as_it_was_escaped(client: Talking, name: str) -> None:
    client.send(f"/queue/{name}", "a", receipt="a\\cb\\n")
    assert client.read().headers["receipt-id"] == "a:b\n"


@pytest.mark.row("A4")
def test_client_that_leaves_without_a_receipt_is_let_go(client: Talking) -> None:
    client.say("DISCONNECT")
    assert client.is_closed()


@pytest.mark.row("A10")
def test_publisher_waits_while_there_is_an_alarm() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\n\n\0")
    core = connection.core
    core.set_alarm("disk", True)
    connection.receive(b"SEND\ndestination:/queue/a\n\nx\0BEGIN\ntransaction:t\n\n\0")
    assert connection.published
    assert connection.waiting
    assert connection.flow_state == "blocked"
    assert "a" not in core.vhosts["/"].queues
    core.set_alarm("disk", False)
    assert core.vhosts["/"].queues["a"].ready_count == 1
    assert connection.channel is not None
    assert "t" in connection.channel.publishing.transactions


LARGE = b"SEND\ndestination:/queue/a\ncontent-length:1000000\n\n"


@pytest.mark.row("A42", "A10")
def test_large_body_that_was_announced_before_an_alarm_is_left_unread() -> None:
    """A42: what many clients have announced together does not come on top of what there is."""
    connection = without_socket()
    connection.receive(b"CONNECT\n\n\0")
    connection.receive(LARGE + b"x" * 400_000)
    assert (connection.waiting, connection.body_bytes_due()) == (False, 600_000)
    connection.core.set_alarm("memory", True)
    connection.receive(b"x" * 100_000)
    assert connection.waiting
    assert connection.published
    connection.core.set_alarm("memory", False)
    assert not connection.waiting
    connection.receive(b"x" * 500_000 + b"\0")
    queue = connection.core.vhosts["/"].queues["a"]
    assert (queue.ready_count, queue.ready_bytes) == (1, 1_000_000)


@pytest.mark.row("A42", "A10")
def test_client_that_sends_more_than_it_may_hears_why_before_its_socket_is_closed() -> None:
    """A42: what it is sending meanwhile is thrown away, for a while."""
    connection = without_socket(message_size_max=999_999)
    connection.receive(b"CONNECT\n\n\0")
    connection.receive(LARGE + b"x" * 400_000)
    answer = said(connection)
    assert b"ERROR\nmessage:The maximum data length was exceeded\n" in answer
    assert b"the body is larger than 999999 bytes" in answer
    assert connection.state is State.CLOSED
    assert not connection.core.sessions
    connection.receive(b"x" * 600_000 + b"\0" + LARGE)
    connection.tick(NOW_MS + 4999)
    assert (connection.want_close, said(connection)) == (False, b"")
    connection.tick(NOW_MS + 5000)
    assert connection.want_close


@pytest.mark.parametrize("end", ["closed", "shut_down"])
@pytest.mark.row("A42")
def test_client_that_has_heard_it_or_a_broker_that_stops_ends_that_at_once(end: str) -> None:
    connection = without_socket(message_size_max=10)
    connection.receive(b"CONNECT\n\n\0" + LARGE)
    assert not connection.want_close
    getattr(connection, end)("")
    assert connection.want_close


@pytest.mark.row("A1")
def test_what_many_frames_ask_for_is_done_over_several_turns() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\naccept-version:1.2\n\n\0")
    connection.receive(b"".join(b"SUBSCRIBE\nid:%d\ndestination:/topic/a\n\n\0" % n for n in range(100)))
    assert connection.channel is not None
    assert len(connection.channel.subscriptions) == 40
    for _ in range(3):
        connection.core.tick(NOW_MS)
    assert len(connection.channel.subscriptions) == 100
    assert not connection.waiting


@pytest.mark.row("A10")
def test_bytes_that_are_no_stomp_end_the_connection_only(
    stranger: Talking, connected: Callable[..., Talking]
) -> None:
    second = connected()
    first = stranger
    first.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\0")
    assert first.error().headers["message"] == "Illegal command"
    second.done("BEGIN", {"transaction": "t"})


@pytest.mark.parametrize(
    "wrong",
    [
        b"SEND\ndestination:/queue/a\0",
        b"SEND\ndestination:/queue/a\nexpiration:soon\n\n\0",
        b"SEND\ndestination:/queue/a\nno colon\n\n\0",
        b"SEND\ndestination:/queue/a\ncontent-length:1\n\nxx\0",
    ],
)
@pytest.mark.row("A10", "A7")
def test_messages_in_front_of_what_ends_the_connection_are_not_lost_with_it(wrong: bytes) -> None:
    """It may all come in one read, or not: where the network cuts the input does not matter."""
    connection = without_socket()
    connection.receive(b"CONNECT\n\n\0" + b"SEND\ndestination:/queue/a\n\nx\0" * 3 + wrong)
    assert connection.want_close
    assert connection.core.vhosts["/"].queues["a"].ready_count == 3


@pytest.mark.row("A10", "A4")
def test_nothing_follows_an_error_that_ends_the_connection() -> None:
    """Neither receipts that are owed, nor what the end of one subscription lets others be told."""
    connection = without_socket(is_activemq=True)
    core = connection.core
    connection.receive(
        b"CONNECT\n\n\0SUBSCRIBE\ndestination:/topic/ActiveMQ.Advisory.>\nid:1\n\n\0"
        b"SUBSCRIBE\ndestination:/queue/a\nid:2\n\n\0"
    )
    core.tick(NOW_MS)
    assert b"ActiveMQ.Advisory.Consumer.Queue.a" in said(connection)
    connection.receive(b"SEND\ndestination:/queue/b\nreceipt:r\n\nx\0SEND\n\0")
    core.tick(NOW_MS)
    core.synced(core.journal_ticket)
    core.tick(NOW_MS)
    assert core.vhosts["/"].queues["b"].ready_count == 1
    written = said(connection)
    assert written.startswith(b"ERROR\nmessage:Bad frame\n")
    assert written.count(b"\0") == 1


@pytest.mark.row("A4")
def test_only_messages_whose_receipt_was_asked_for_count_as_confirmed() -> None:
    connection = without_socket()
    send = b"SEND\ndestination:/queue/a\n\nx\0"
    connection.receive(b"CONNECT\n\n\0" + send * 3 + send.replace(b"\n\n", b"\nreceipt:r\n\n") + send)
    core = connection.core
    core.tick(NOW_MS)
    core.synced(core.journal_ticket)
    assert connection.channel is not None
    assert connection.channel.counters.publish == 5
    assert connection.channel.counters.confirm == 1


@pytest.mark.row("A10")
def test_end_of_a_connection_leaves_nothing_behind() -> None:
    connection = without_socket()
    connection.receive(b"CONNECT\n\n\0SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0")
    core = connection.core
    assert len(core.vhosts["/"].queues) == 1
    connection.closed("gone")
    assert connection.state is State.CLOSED
    assert not core.vhosts["/"].queues
    assert not core.sessions


@pytest.mark.row("A10")
def test_whoever_only_receives_goes_on_while_there_is_an_alarm() -> None:
    """Also with more frames than are acted on in a turn: else nothing would leave the queues that fill it."""
    rig = Rig({})
    rig.turn(b"CONNECT\n\n\0")
    rig.turn(
        b"SUBSCRIBE\nid:s\nack:client-individual\ndestination:/queue/a\n\n\0SEND\ndestination:/queue/a\n\nx\0"
    )
    rig.core.set_alarm("disk", True)
    many = b"".join(
        b"SUBSCRIBE\nid:%d\ndestination:/queue/b\n\n\0UNSUBSCRIBE\nid:%d\n\n\0" % (n, n) for n in range(SHARE)
    )
    rig.turn(many + b"ACK\nmessage-id:T_s@@%s@@1\n\n\0" % rig.connection.session_name.encode())
    assert rig.core.vhosts["/"].queues["a"].unacked_count == 0
    assert not rig.connection.waiting
