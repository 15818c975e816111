"""Shovels between a real RabbitMQ and Pillarbox: either way, whoever dies, whoever has them (R143, R97)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.peers import Pillarbox, RabbitMQ, free_ports
from pillarbox import Broker
from tests.shovel.__main__ import PLUGINS
from tests.shovel.site import Site, site_of
from tests.shovel.test_moving import ODD, put, taken, wire

pytestmark = [
    pytest.mark.row("R143"),
    pytest.mark.skipif(bool(RabbitMQ.missing()), reason=RabbitMQ.missing() or "installed"),
    pytest.mark.timeout(240),
]

COUNT = 20_000
PREFETCH = 500


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitMQ]:
    with RabbitMQ(plugins=PLUGINS) as rabbit:
        yield rabbit


@pytest.fixture
def there(rabbit: RabbitMQ) -> Iterator[Site]:
    """RabbitMQ, with nothing in it."""
    with site_of(rabbit) as site:
        for queue in site.api.get("queues"):
            site.api.request("DELETE", f"queues/%2F/{queue['name']}")
        yield site


@pytest.fixture
def peer() -> Iterator[Pillarbox]:
    """A Pillarbox that can be killed, which comes back with its data at the same port."""
    (port,) = free_ports(1)
    with Pillarbox(options=("--port", str(port))) as peer:
        yield peer


def test_queue_of_rabbitmq_moves_to_pillarbox_and_back(here: Site, there: Site) -> None:
    there.fill("orders", 3000)
    here.shovel(src_uri=there.url, src_queue="orders", dest_queue="orders", src_delete_after="queue-length")
    here.until_gone()
    assert there.count("orders") == 0
    assert here.count("orders") == 3000
    here.shovel(src_queue="orders", dest_uri=there.url, dest_queue="orders", src_delete_after="queue-length")
    here.until_gone()
    assert there.take_all("orders") == list(range(3000))
    assert here.count("orders") == 0


def test_message_of_rabbitmq_arrives_as_it_was_sent(here: Site, there: Site) -> None:
    properties, body = wire.encode_properties(ODD), b"x" * 300_000
    here.shovel("in", src_uri=there.url, src_queue="from", dest_queue="between")
    here.shovel("out", src_queue="between", dest_uri=there.url, dest_queue="to")
    here.until_state("running", "in")
    here.until_state("running", "out")
    put(there.url, "from", properties, body)
    here.until(lambda: there.count("to") == 1)
    found, arrived = taken(there.url, "to")
    assert arrived == body
    assert wire.decode_properties(found) == wire.decode_properties(properties)


@pytest.mark.parametrize("dies", ["rabbitmq", "pillarbox"])
@pytest.mark.parametrize("way", ["in", "out"])
def test_nothing_is_lost_when_one_is_killed(
    rabbit: RabbitMQ, there: Site, peer: Pillarbox, way: str, dies: str
) -> None:
    """Pillarbox has the shovel, and takes it up again. What was on its way may come twice, and what a source
    that is killed had not stored the acknowledgement of."""
    with site_of(peer) as here:
        source, destination = (there, here) if way == "in" else (here, there)
        source.fill("from", COUNT)
        uris = {"src_uri": there.url} if way == "in" else {"dest_uri": there.url}
        here.shovel(src_queue="from", dest_queue="to", src_prefetch_count=PREFETCH, **uris)
        here.until(lambda: 0 < source.count("from") < COUNT, "it is under way")
        killed = rabbit if dies == "rabbitmq" else peer
        killed.kill()
        killed.start()
    with site_of(peer) as here, site_of(rabbit) as there:
        source, destination = (there, here) if way == "in" else (here, there)
        here.until(lambda: source.count("from") == 0 and destination.count("to") >= COUNT)
        # Counted before they are confirmed: the last ones may be on their way.
        here.until(lambda: here.status()["state"] == "running")
        found = destination.take_all("to")
        assert list(dict.fromkeys(found)) == list(range(COUNT))
        source_dies = (way == "in") == (dies == "rabbitmq")
        assert len(found) - COUNT <= (COUNT if source_dies else PREFETCH)


def test_shovel_of_rabbitmq_moves_to_pillarbox_and_from_it(here: Site, there: Site) -> None:
    """Its client sees nothing that it would not see of a RabbitMQ."""
    there.fill("from", 1000)
    there.shovel("out", src_queue="from", dest_uri=here.url, dest_queue="between")
    here.until(lambda: here.count("between") == 1000)
    there.shovel("in", src_uri=here.url, src_queue="between", dest_queue="to")
    here.until(lambda: there.count("to") == 1000)
    assert there.take_all("to") == list(range(1000))
    for name in ("in", "out"):
        assert there.api.request("DELETE", f"parameters/shovel/%2F/{name}").status == 204


@pytest.mark.row("R97", "R98")
def test_parameters_go_through_rabbitmq_and_back(here: Site, there: Site) -> None:
    value = {
        "src-uri": [there.url, "amqp://"],
        "src-queue": "from",
        "src-delete-after": "never",
        "src-queue-args": {"x-max-length": 5},
        "dest-uri": "amqp://",
        "dest-exchange": "amq.fanout",
        "dest-add-forward-headers": True,
        "dest-publish-properties": {"delivery_mode": 2},
        "reconnect-delay": 0,
        "ack-mode": "on-publish",
    }
    assert here.api.request("PUT", "parameters/shovel/%2F/s", {"value": value}).status == 201
    exported = here.api.get("definitions")
    assert exported["parameters"] == [{"vhost": "/", "component": "shovel", "name": "s", "value": value}]
    document = {"parameters": exported["parameters"]}
    assert (
        there.api.request("POST", "definitions", document, {"content-type": "application/json"}).status == 204
    )
    through = there.api.get("definitions")["parameters"]
    assert there.api.request("DELETE", "parameters/shovel/%2F/s").status == 204
    assert here.api.request("DELETE", "parameters/shovel/%2F/s").status == 204
    assert through == exported["parameters"]
    with Broker(management_port=0) as third, site_of(third) as site:
        assert site.api.request("POST", "definitions", {"parameters": through}).status == 204
        assert site.api.get("definitions")["parameters"] == exported["parameters"]


@pytest.mark.row("R97")
def test_status_has_rabbitmqs_fields(here: Site, there: Site) -> None:
    """Those of one that runs, and of the same types."""
    for site in (here, there):
        site.shovel("s", src_uri=there.url, src_queue="a", dest_queue="b", dest_add_forward_headers=True)

    def running(site: Site) -> dict[str, str]:
        return next((each for each in site.api.get("shovels") if each["state"] == "running"), {})

    here.until(lambda: running(here) and running(there))
    ours, theirs = running(here), running(there)
    assert there.api.request("DELETE", "parameters/shovel/%2F/s").status == 204
    same = set(theirs) - {"node", "timestamp"}
    assert set(ours) == set(theirs)
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    # Date and hour without a leading zero.
    assert len(ours["timestamp"].split()) == len(theirs["timestamp"].split()) == 2
