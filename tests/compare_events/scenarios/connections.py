"""Connections and channels: opened, refused and closed, by whom and how."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from pamqp import commands

from tests.clients.raw_client import RawClient
from tests.compare_events.case import Case
from tests.transcripts.registry import scenario


def _answer(client: RawClient) -> list[Any]:
    """What a broker says that hangs up."""
    try:
        _, got = client.receive()
    except (EOFError, ConnectionResetError):
        return ["nothing"]
    if not isinstance(got, commands.Connection.Close):
        return [type(got).__name__]
    client.send(commands.Connection.CloseOk())
    with contextlib.suppress(EOFError, ConnectionResetError):
        client.receive()
    return [got.reply_code, got.reply_text, got.class_id, got.method_id]


def _ask_for(client: RawClient, vhost: str, response: str = "\0guest\0guest") -> None:
    """Open a virtual host that is refused."""
    client.log_in(response=response)
    tune = client.expect(commands.Connection.Tune)
    client.send(commands.Connection.TuneOk(tune.channel_max, 131072, 0))
    client.send(commands.Connection.Open(vhost))
    client.expect_connection_close()


@scenario("R75")
def opened_and_closed_by_a_client(case: Case) -> None:
    connection = case.connect(name="worker 7")
    case.told("connection opened")
    channels = [connection.channel(), connection.channel(9)]
    case.told("two channels opened")
    channels[0].close()
    case.told("a channel closed")
    connection.close()
    case.told("connection closed", "connection.closed")


@scenario("R75")
def what_a_client_says_of_itself(case: Case) -> None:
    client = case.raw()
    client.log_in(product="a test", number=5, large=1 << 40, yes=True, list=["a", 1], nothing=None)
    tune = client.expect(commands.Connection.Tune)
    client.send(commands.Connection.TuneOk(100, 8192, 30))
    client.send(commands.Connection.Open("/"))
    client.expect(commands.Connection.OpenOk)
    case.saw("offered", tune.heartbeat)
    case.told("opened")
    client.socket.close()
    case.told("cut by the client", "connection.closed")


@scenario("R75")
def closed_without_a_word(case: Case) -> None:
    client = case.raw().open()
    client.open_channel(1)
    case.told("opened")
    client.socket.close()
    case.told("cut by the client", "connection.closed")


@scenario("R75")
def closed_by_the_operator(case: Case) -> None:
    client = case.raw().open()
    client.open_channel(1)
    case.pass_over()
    local, remote = client.socket.getsockname(), client.socket.getpeername()
    name = f"127.0.0.1:{local[1]} -> 127.0.0.1:{remote[1]}"
    case.await_http("connections", name)
    case.http("DELETE", "connections", name)
    case.saw("closed", *client.expect_connection_close())
    case.told("closed over HTTP", "connection.closed")


@scenario("R75")
def closed_for_a_fault_of_the_client(case: Case) -> None:
    client = case.raw().open()
    client.open_channel(1)
    case.pass_over()
    client.send(commands.Queue.Declare(passive=True, queue="missing"), 1)
    case.saw("channel closed", *client.expect_channel_close())
    case.told("channel closed by a soft error", "channel.closed")
    client.open_channel(1)
    case.pass_over()
    client.send(commands.Channel.Open(), 1)
    case.saw("closed", *client.expect_connection_close())
    case.told("connection closed by a hard error", "connection.closed")


@scenario("R75")
def closed_as_its_frames_are_none(case: Case) -> None:
    client = case.raw().open()
    case.pass_over()
    client.send_frame(99, 0, b"nonsense")
    case.saw("closed", *client.expect_connection_close())
    case.told("connection closed", "connection.closed")


@scenario("R75")
def refused_for_its_password(case: Case) -> None:
    for name, response in (("wrong password", "\0guest\0wrong"), ("unknown user", "\0nobody\0wrong")):
        client = case.raw()
        client.log_in(response=response)
        case.saw("answer", *_answer(client))
        case.told(name, "connection.closed")


@scenario("R75")
def refused_without_being_told(case: Case) -> None:
    client = case.raw()
    client.log_in(response="\0guest\0wrong", capabilities={})
    client.expect_closed_socket()
    case.told("a client without the capability", "connection.closed")


@scenario("R75")
def refused_for_its_mechanism(case: Case) -> None:
    client = case.raw()
    client.log_in(mechanism="MADE-UP")
    _answer(client)
    case.told("no such mechanism", "connection.closed")


@scenario("R75")
def refused_for_its_response(case: Case) -> None:
    client = case.raw()
    client.log_in(response="nonsense")
    _answer(client)
    case.told("a response that is none", "connection.closed")


@scenario("R75")
def refused_by_the_virtual_host(case: Case) -> None:
    client = case.raw()
    _ask_for(client, "missing")
    case.told("no such virtual host", "connection.closed")
    case.http("PUT", "users", "stranger", body={"password": "p", "tags": ""})
    case.pass_over()
    client = case.raw()
    _ask_for(client, "/", "\0stranger\0p")
    case.told("no rights in the virtual host", "connection.closed")
    case.http("DELETE", "users", "stranger")
    case.pass_over()


@scenario("R75")
def logged_in_by_amqplain(case: Case) -> None:
    client = case.raw()
    client.log_in(mechanism="AMQPLAIN", response="\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest")
    client.expect(commands.Connection.Tune)
    case.told("logged in", "user.authentication.success")
    client.socket.close()
    case.told("cut before it was opened", "connection.closed")


@scenario("R5", "R75")
def over_tls(case: Case) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
        connection = case.connect(tls=context)
        case.told(f"connected by {version.name}", "connection.created")
        connection.close()
        case.pass_over("connection.closed")


@scenario("R75")
def hung_up_without_a_login(case: Case) -> None:
    client = case.raw()
    client.start()
    client.socket.close()
    case.told("cut before the login", "connection.closed")
    client = case.raw()
    client.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
    client.receive_bytes(8)
    client.expect_closed_socket()
    case.told("another protocol", "connection.closed")


@scenario("R75")
def logins_over_http(case: Case) -> None:
    case.http("GET", "whoami")
    case.told("logged in over HTTP")
    case.saw("status", case.try_http("GET", "whoami", password="wrong").status)
    case.told("refused over HTTP")
