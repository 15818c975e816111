"""Topics: what their list holds, by a slow and obvious twin that looks at everything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.core import Core
from pillarbox.broker.stream import StreamQueue
from pillarbox.broker.super_stream import ORDER, add_super_stream, is_super_stream, mark_super_stream
from pillarbox.broker.topics import STREAM
from pillarbox.broker.vhost import VHost
from pillarbox.engine.memory import MemoryEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.errors import BrokerError

NAMES = ("a", "b", "a-0", "a-1", "b-0")


def new_vhost() -> VHost:
    engine = MemoryEngine(InlineScheduler())
    core = Core(engine, now_ms=0, random=bytes, wake=lambda: None, logs=engine.logs)
    engine.attach(core)
    core.add_vhost("/")
    return core.vhosts["/"]


def twin(vhost: VHost) -> dict[str, list[str]]:
    """Every topic with the names of its partitions."""
    parts: dict[str, list[tuple[int, str]]] = {}
    taken = set()
    for exchange in filter(is_super_stream, vhost.exchanges.values()):
        for binding in exchange.bindings.values():
            if isinstance(binding.destination, StreamQueue) and ORDER in binding.arguments:
                name = binding.destination.name
                parts.setdefault(exchange.name, []).append((binding.arguments[ORDER], name))
                taken.add(name)
    streams = {queue.name for queue in vhost.queues.values() if isinstance(queue, StreamQueue)}
    hidden = taken | {exchange.name for exchange in filter(is_super_stream, vhost.exchanges.values())}
    topics = {name: [name] for name in streams - hidden}
    return topics | {
        name: [part for _, part in sorted(pairs, key=itemgetter(0))] for name, pairs in parts.items()
    }


def bind(vhost: VHost, name: str, other: str) -> None:
    vhost.bind(vhost.exchange(name), vhost.queues[other], other, {ORDER: NAMES.index(other)})


def unbind(vhost: VHost, name: str, other: str) -> None:
    vhost.unbind(vhost.exchange(name), vhost.queues[other], other, {ORDER: NAMES.index(other)})


ACTIONS: tuple[Callable[[VHost, str, str], object], ...] = (
    lambda vhost, name, other: vhost.declare_queue(None, name, durable=True, arguments=STREAM),
    lambda vhost, name, other: vhost.declare_queue(None, name, durable=True),
    lambda vhost, name, other: vhost.remove_queue(vhost.queues[name]),
    lambda vhost, name, other: mark_super_stream(vhost, name),
    lambda vhost, name, other: add_super_stream(vhost, name, 2),
    lambda vhost, name, other: vhost.delete_exchange(name),
    lambda vhost, name, other: vhost.topics.delete(next(vhost.topics.all())),
    lambda vhost, name, other: vhost.topics.grow(next(vhost.topics.all()), 2),
    bind,
    unbind,
)


@pytest.mark.row("K31")
@given(
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=30)
)
def test_list_is_what_there_is(
    steps: list[tuple[Callable[[VHost, str, str], object], str, str]],
) -> None:
    """Whatever has made or removed streams and super streams, or bound them (K31, R84)."""
    vhost = new_vhost()
    for act, name, other in steps:
        # There may be no such thing, or one already.
        with contextlib.suppress(BrokerError, KeyError, StopIteration):
            act(vhost, name, other)
        listed = {topic.name: [one.name for one in topic.partitions] for topic in vhost.topics.all()}
        assert list(listed) == sorted(listed)
        assert listed == twin(vhost)
        assert all(vhost.topics.get(name) is None for name in NAMES if name not in listed)
