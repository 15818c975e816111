"""Brokers that die, refuse, fill up or are none; and shovels that are stopped: nothing is lost (R143)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from bench.peers import HOST, Pillarbox, free_ports
from pillarbox import Broker
from tests.management.http import client
from tests.shovel.site import WAIT_S, Site, site_of

pytestmark = pytest.mark.row("R143")

COUNT = 40_000
"""Enough to be under way for some tenths of a second."""
SECRET = "hunter2"


@pytest.fixture
def peer() -> Iterator[Pillarbox]:
    """A broker that can be killed, which comes back with its data at the same port."""
    (port,) = free_ports(1)
    with Pillarbox(options=("--port", str(port))) as peer:
        yield peer


def all_are_there(site: Site, queue: str, count: int, *, twice_max: int) -> None:
    """Each number is in the queue; not many are there twice, and of those the first are in order."""
    found = site.take_all(queue)
    assert list(dict.fromkeys(found)) == list(range(count))
    assert len(found) - count <= twice_max


# --- deaths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["source", "destination", "shovel"])
def test_nothing_is_lost_when_a_broker_is_killed(
    here: Site, broker: Broker, peer: Pillarbox, dies: str
) -> None:
    """What was on its way, which is no more than the prefetch, may come twice. A source that is killed may
    forget acknowledgements on top of that: nobody waits for those to be stored."""
    prefetch = 500
    with site_of(peer) as killed:
        source, destination = (killed, here) if dies == "source" else (here, killed)
        owner = killed if dies == "shovel" else here
        source.fill("from", COUNT)
        owner.shovel(
            src_uri="amqp://" if owner is source else source.url,
            dest_uri="amqp://" if owner is destination else destination.url,
            src_queue="from",
            dest_queue="to",
            src_prefetch_count=prefetch,
        )
        queue, before = ("to", 0) if destination is here else ("from", COUNT)
        here.until(lambda: here.count(queue) != before)
        peer.kill()
        assert source is killed or here.count("from")
        peer.start()
    with site_of(peer) as killed:
        source, destination = (killed, here) if dies == "source" else (here, killed)
        here.until(lambda: source.count("from") == 0 and destination.count("to") >= COUNT)
        owner = killed if dies == "shovel" else here
        assert owner.status()["state"] == "running"
        all_are_there(destination, "to", COUNT, twice_max=prefetch if dies == "destination" else COUNT)


def test_shovel_of_a_stopped_broker_goes_on_at_the_next_start(tmp_path: Path) -> None:
    for first in (0, 100):
        with Broker(data=tmp_path, management_port=0) as broker, site_of(broker) as site:
            if not first:
                site.shovel(src_queue="from", dest_queue="to")
            site.fill("from", 100, first=first)
            site.until(lambda broker=broker, first=first: broker.queue("to").ready == first + 100)
    with Broker(data=tmp_path, management_port=0) as broker, site_of(broker) as site:
        assert site.take_all("to") == list(range(200))
        assert site.api.request("DELETE", "shovels/vhost/%2F/s").status == 204
    with Broker(data=tmp_path, management_port=0) as broker, site_of(broker) as site:
        assert site.api.get("shovels") == site.api.get("parameters/shovel") == []


def test_broker_that_hangs_is_given_up(here: Site, peer: Pillarbox) -> None:
    """By its heartbeats, which do not come."""
    here.fill("from", 10)
    with site_of(peer) as there:
        here.shovel(src_queue="from", dest_uri=f"{there.url}?heartbeat=1", dest_queue="to")
        there.until(lambda: there.count("to") == 10)
        os.kill(peer.pid, signal.SIGSTOP)
        try:
            here.until(lambda: here.status().get("reason") == "destination: no heartbeat came for 2 s")
            here.fill("from", 10, first=10)
        finally:
            os.kill(peer.pid, signal.SIGCONT)
        here.until_state("running")
        # It may have been stopped before it had confirmed the first ones, which then come again.
        here.until(lambda: here.count("from") == 0 and there.count("to") >= 20)
        all_are_there(there, "to", 20, twice_max=20)


# --- refusals --------------------------------------------------------------------------------------------


def test_message_that_is_refused_stays_at_the_source(here: Site, there: Site) -> None:
    with there.channel() as channel:
        full = {"x-max-length": 100, "x-overflow": "reject-publish"}
        channel.queue_declare("to", durable=True, arguments=full)
    here.fill("from", 300)
    here.shovel(src_queue="from", dest_uri=there.url, dest_queue="to")
    here.until(lambda: "refused" in here.status().get("reason", ""))
    assert there.count("to") == 100
    found = []
    for _ in range(3):
        here.until(lambda: there.count("to") == 100)
        found += there.take_all("to")
    assert sorted(set(found)) == list(range(300))
    assert len(found) == 300
    here.until(lambda: here.count("from") == 0)


def test_queue_that_is_deleted_meanwhile_is_made_anew(here: Site, there: Site) -> None:
    """A destination that is gone takes nothing with it but what was in it."""
    here.shovel(src_queue="from", dest_uri=there.url, dest_queue="to")
    here.until_state("running")
    with there.channel() as channel:
        channel.queue_delete("to")
    here.fill("from", 50)
    here.until(lambda: there.count("to") == 50)
    with here.channel() as channel:
        channel.queue_delete("from")
    here.fill("from", 50, first=50)
    here.until(lambda: there.count("to") == 100)
    assert there.take_all("to") == list(range(100))


def test_destination_that_takes_nothing_is_waited_for(here: Site, there: Site, other: Broker) -> None:
    """An alarm over there: no more than the prefetch is taken out of the source."""
    here.shovel(src_queue="from", dest_uri=there.url, dest_queue="to", src_prefetch_count=30)
    here.until_state("running")
    other.call(lambda server: server.core.set_alarm("disk", True))
    here.fill("from", 200)
    here.until(lambda: here.count("from") == 170)
    assert there.count("to") == 0
    assert here.api.get("queues/%2F/from")["messages_unacknowledged"] == 30
    other.call(lambda server: server.core.set_alarm("disk", False))
    here.until(lambda: there.count("to") == 200)
    assert there.take_all("to") == list(range(200))


def test_destination_that_is_slow_does_not_fill_the_memory(
    here: Site, broker: Broker, peer: Pillarbox
) -> None:
    """Without confirms nothing but the socket tells how much it takes."""
    size, count = 100_000, 600
    here.fill("from", count, size=size)
    with site_of(peer) as there:
        here.shovel(src_queue="from", dest_uri=there.url, dest_queue="to", ack_mode="on-publish")
        here.until_state("running")
        os.kill(peer.pid, signal.SIGSTOP)
        try:
            here.fill("from", count, first=count, size=size)
            left = here.count("from")
            here.until(lambda: here.api.get("queues/%2F/from")["messages_unacknowledged"] > 0)
            assert left * size > 30 << 20
        finally:
            os.kill(peer.pid, signal.SIGCONT)
        here.until(lambda: there.count("to") == 2 * count)
        assert there.take_all("to") == list(range(2 * count))


def test_user_id_of_somebody_else_needs_an_impersonator(here: Site, there: Site, other: Broker) -> None:
    """As with RabbitMQ: the tag stands for the right to say who has sent a message."""
    with here.channel() as channel:
        channel.queue_declare("from", durable=True)
        sent = pika.BasicProperties(delivery_mode=2, user_id="guest")
        channel.basic_publish("", "from", b"0", sent)
    other.call(lambda server: server.core.add_user("mover", "mover"))
    there.api.request("PUT", "permissions/%2F/mover", {"configure": ".*", "write": ".*", "read": ".*"})
    uri = there.url.replace("guest:guest", "mover:mover")
    here.shovel(src_queue="from", dest_uri=uri, dest_queue="to")
    here.until(
        lambda: (
            "user_id property set to 'guest' but authenticated user was 'mover'"
            in here.status().get("reason", "")
        )
    )
    assert there.count("to") == 0
    other.call(lambda server: server.core.add_user("mover", "mover", ("impersonator",)))
    here.until(lambda: there.count("to") == 1)
    with there.channel() as channel:
        assert channel.basic_get("to")[1].user_id == "guest"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (
            {"src_uri": "amqp://guest:{secret}@{address}"},
            "source amqp://{address}: 403 ACCESS_REFUSED - Login was refused",
        ),
        ({"dest_uri": "amqp://guest:guest@{address}/nowhere"}, "NOT_ALLOWED - vhost nowhere not found"),
        ({"src_uri": "amqp:///nowhere"}, "NOT_ALLOWED - vhost nowhere not found"),
        ({"src_uri": "amqp://guest:{secret}@"}, "source amqp://: 403 login was refused"),
        ({"dest_uri": "amqp://guest:{secret}@127.0.0.1:{closed}"}, "destination amqp://127.0.0.1:{closed}: "),
        ({"dest_exchange": "nope"}, "destination: 404 NOT_FOUND - no exchange 'nope' in vhost '/'"),
        ({"src_exchange": "nope"}, "source amqp://: 404 NOT_FOUND - no exchange 'nope' in vhost '/'"),
        ({"src_predeclared": True}, "source amqp://: 404 NOT_FOUND - no queue 'from' in vhost '/'"),
        ({"dest_uri": "amqps://{address}?cacertfile=/none"}, "No such file"),
        ({"dest_uri": "amqp://{address}?auth_mechanism=external"}, "and not EXTERNAL"),
    ],
)
def test_what_goes_wrong_is_told_in_words_and_without_passwords(
    broker: Broker,
    here: Site,
    caplog: pytest.LogCaptureFixture,
    keys: dict[str, str],
    reason: str,
) -> None:
    (closed,) = free_ports(1)
    words = {"address": f"{HOST}:{broker.amqp_port}", "closed": closed, "secret": SECRET}
    filled = {key: each.format(**words) if isinstance(each, str) else each for key, each in keys.items()}
    without = {"src_exchange": "src_queue", "dest_exchange": "dest_queue"}
    wanted = {"src_queue": "from", "dest_queue": "to"} | filled
    for key, other in without.items():
        if key in wanted:
            del wanted[other]
    # As from a definitions file, which nobody in particular has imported.
    value = {"src-uri": "amqp://", "dest-uri": "amqp://", "reconnect-delay": 0.1}
    value |= {key.replace("_", "-"): each for key, each in wanted.items()}
    parameter = {"vhost": "/", "component": "shovel", "name": "s", "value": value}
    assert here.api.request("POST", "definitions", {"parameters": [parameter]}).status == 204
    if "dest_exchange" in wanted:
        here.fill("from", 1)
    here.until(lambda: here.status().get("reason"))
    here.until(lambda: here.status().get("state") == "terminated")
    assert reason.format(**words) in here.status()["reason"]
    assert SECRET not in str(here.api.get("shovels"))
    assert SECRET not in caplog.text
    assert caplog.text.count("it is tried again every 0.1 s") == 1


def test_nothing_is_tried_again_without_a_delay(here: Site) -> None:
    here.shovel(src_queue="from", dest_exchange="nope", reconnect_delay=0)
    here.fill("from", 1)
    here.until_state("terminated")
    with here.channel() as channel:
        channel.exchange_declare("nope", "fanout")
        channel.queue_declare("to")
        channel.queue_bind("to", "nope")
    assert here.status()["state"] == "terminated"
    assert here.api.request("DELETE", "shovels/vhost/%2F/s/restart").status == 204
    here.until(lambda: here.count("to") == 1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"AMQP\x03\x01\x00\x00", "no frame"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no frame"),
        (b"\x01\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff\xce", "there is no method"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", "a frame has no end"),
        (b"\x02\x00\x01\x00\x00\x00\x0e" + bytes(14) + b"\xce", "a content without a method"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x3c\x00\x3d\xce", "cannot be read"),
        (b"", "the connection was closed"),
        (None, "no answer came in time"),
    ],
)
def test_what_is_no_broker_is_no_harm(here: Site, said: bytes | None, reason: str) -> None:
    """Also one that says nothing, for which `connection_timeout` says how long is waited."""
    with socket.create_server((HOST, 0)) as server, contextlib.ExitStack() as stack:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = server.accept()
                    if said is None:
                        stack.callback(accepted.close)
                        continue
                    with accepted:
                        accepted.recv(8)
                        accepted.sendall(said)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        here.shovel(src_uri=f"amqp://{HOST}:{port}?connection_timeout=300", src_queue="a", dest_queue="b")
        here.until(lambda: reason in here.status().get("reason", ""))
        assert here.api.request("DELETE", "shovels/vhost/%2F/s").status == 204
        server.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)


# --- ends that are wanted --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["parameter", "shovel", "another value"])
def test_stopped_shovel_neither_loses_nor_doubles(here: Site, there: Site, how: str) -> None:
    """What is on its way is waited for."""
    here.fill("from", COUNT)
    here.shovel(src_queue="from", dest_uri=there.url, dest_queue="to")
    here.until(lambda: there.count("to") > 0)
    if how == "another value":
        here.shovel(src_queue="from", dest_uri=there.url, dest_queue="more")
        here.until(lambda: here.count("from") == 0 and there.count("more") + there.count("to") == COUNT)
        left = there.take_all("more")
    else:
        path = "parameters/shovel/%2F/s" if how == "parameter" else "shovels/vhost/%2F/s"
        assert here.api.request("DELETE", path).status == 204
        assert here.status() == {}
        here.until(lambda: not here.api.get("consumers"))
        here.until(lambda: here.count("from") + there.count("to") == COUNT)
        left = here.take_all("from")
    assert there.take_all("to") + left == list(range(COUNT))


def test_shovels_go_with_their_virtual_host(broker: Broker, here: Site) -> None:
    here.api.request("PUT", "vhosts/shop", {})
    value = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
    assert here.api.request("PUT", "parameters/shovel/shop/s", {"value": value}).status == 201
    here.until(lambda: [each["state"] for each in here.api.get("shovels/shop")] == ["running"])
    assert [each["vhost"] for each in here.api.get("shovels")] == ["shop"]
    assert here.api.request("DELETE", "vhosts/shop").status == 204
    here.until(lambda: here.api.get("shovels") == [])
    assert here.api.get("parameters/shovel") == []
    assert broker.call(lambda server: server.shovels.workers) == {}


def test_paths_answer_as_rabbitmqs_do(here: Site, broker: Broker) -> None:
    """Measured on 3.10.8, but that its path of one shovel shows all."""
    assert here.api.get("shovels") == here.api.get("shovels/%2F") == []
    here.shovel(src_queue="a", dest_queue="b")
    here.until_state("running")
    status = here.status()
    assert here.api.get("shovels") == here.api.get("shovels/%2F") == [status]
    for path in ("shovels/nowhere", "shovels/vhost/%2F/none", "shovels/vhost/nowhere/s"):
        assert here.api.request("GET", path).status == 404
    for path in ("shovels/vhost/%2F/none", "shovels/vhost/%2F/none/restart", "shovels/vhost/nowhere/s"):
        assert here.api.request("DELETE", path).status == 404
    assert here.api.request("PUT", "shovels/vhost/%2F/s", {}).status == 405
    assert here.api.request("DELETE", "shovels/vhost/%2F/s/restart").status == 204
    here.until_state("running")
    here.api.request("PUT", "users/m", {"password": "m", "tags": "monitoring"})
    with client(broker, "m", "m") as watcher:
        assert [each["name"] for each in watcher.get("shovels")] == ["s"]
        assert watcher.request("DELETE", "shovels/vhost/%2F/s").status == 401


def test_definitions_carry_shovels_to_another_broker(here: Site, there: Site) -> None:
    here.shovel(src_queue="from", dest_queue="to", src_delete_after="never")
    here.fill("from", 10)
    here.until(lambda: here.count("to") == 10)
    exported = here.api.get("definitions")
    assert there.api.request("POST", "definitions", exported).status == 204
    there.until_state("running")
    assert there.api.get("definitions")["parameters"] == exported["parameters"]
    there.fill("from", 5)
    there.until(lambda: there.count("to") == 5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make certificates with")
def test_destination_over_tls_is_known_by_its_certificate(here: Site) -> None:
    here.fill("from", 3)
    with Pillarbox(tls=True) as peer, site_of(peer) as there:
        uri = f"amqps://guest:guest@{HOST}:{peer.amqps_port}"
        here.shovel(src_queue="from", dest_uri=uri, dest_queue="to")
        here.until(lambda: "CERTIFICATE_VERIFY_FAILED" in here.status().get("reason", "").upper())
        here.shovel(src_queue="from", dest_uri=f"{uri}?cacertfile={peer.certificate}", dest_queue="to")
        here.until(lambda: there.count("to") == 3)
        here.shovel(src_queue="from", dest_uri=f"{uri}?verify=verify_none", dest_queue="to")
        here.fill("from", 3, first=3)
        here.until(lambda: there.count("to") == 6)
