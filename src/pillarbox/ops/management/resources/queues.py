"""Queues: /queues and what is below (R111, R121, R122).

`memory`, `message_bytes_ram` and the like are estimates: what is in memory is counted for all queues
together.
`messages_persistent` is all messages of a queue that the journal keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.broker.lane import READ_AHEAD_MESSAGES
from pillarbox.broker.policy import merged
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.stream import StreamQueue
from pillarbox.clock import iso_time
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import (
    ABSENT,
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Absent,
    Document,
    Field,
    Level,
    array,
    nullable,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.resources.bindings import BINDING, bindings_of_queue, in_order
from pillarbox.ops.management.resources.parts import (
    CONNECTION_DETAILS,
    CONSUMER,
    GARBAGE_COLLECTION,
    NO_ERLANG_PROCESS,
    connection_details,
    consumer_document,
)
from pillarbox.ops.management.routes import (
    COLUMNS,
    LISTING,
    MANAGEMENT,
    SAMPLES,
    SEES,
    STATS,
    Many,
    Parameter,
    Route,
)
from pillarbox.ops.management.samples import unacknowledged

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.management.request import Request

QUEUE_BYTES = 3000
"""About what an empty queue takes."""


class Shown(NamedTuple):
    """A queue and where it is."""

    vhost: VHost
    queue: Queue


def _messages(queue: Queue) -> int:
    return queue.ready_count + queue.unacked_count + queue.dead_count


def _message_bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.dead_bytes


def _log_bytes(shown: Shown, request: Request) -> int | Absent:
    """What a stream takes on disk."""
    return shown.queue.log.size if isinstance(shown.queue, StreamQueue) else ABSENT


def _in_memory(count: int, queue: Queue) -> int:
    """How many of so many messages are in memory, about: all, or what is read ahead of consumers."""
    cold = any(lane.has_cold for lane in queue.lanes)
    return min(count, READ_AHEAD_MESSAGES) if cold else count


def _bytes_in_memory(queue: Queue) -> int:
    count = _messages(queue)
    size = queue.ready_bytes + queue.unacked_bytes
    return size * _in_memory(count, queue) // count if count else 0


def _memory(queue: Queue) -> int:
    return QUEUE_BYTES + _bytes_in_memory(queue) + MESSAGE_BYTES * _in_memory(_messages(queue), queue)


def _state(shown: Shown, request: Request) -> str:
    if request.flag("disable_stats") and not request.flag("enable_queue_totals"):
        return "live"
    return "running"


def _policy_if_any(shown: Shown, request: Request) -> str | Absent | None:
    name = _policy(shown, operator=False)
    return ABSENT if name is None and request.flag("disable_stats") else name


def _idle_since(shown: Shown, request: Request) -> str | Absent:
    """Since when nothing has happened, if nothing has for as long as rates are taken over; as from RabbitMQ,
    of classic queues only."""
    if shown.queue.kind != "classic":
        return ABSENT
    idle_ms = request.now_ms - shown.queue.active_ms
    return iso_time(shown.queue.active_ms) if idle_ms >= request.sampler.interval_ms else ABSENT


def _message_stats(shown: Shown, request: Request) -> Any:
    counters = shown.queue.counters
    return stats.message_stats(stats.OF_QUEUE, stats.values_of(counters), (counters,), request)


def _lengths(shown: Shown) -> dict[str, int]:
    return {
        "messages_ready": shown.queue.ready_count,
        "messages_unacknowledged": unacknowledged(shown.queue),
    }


def _total(measure: stats.Measure) -> Callable[[Shown, Request], int]:
    return lambda shown, request: measure.of(_lengths(shown))


def _details(measure: stats.Measure) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: stats.details(measure, (shown.queue.counters,), stats.LENGTHS, request)


def _of_classic(get: Callable[[Queue], Any]) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: get(shown.queue) if shown.queue.kind == "classic" else ABSENT


def _of_quorum(get: Callable[[Queue], Any]) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: get(shown.queue) if shown.queue.kind == "quorum" else ABSENT


def _not_stream(get: Callable[[Queue], Any]) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: ABSENT if shown.queue.in_log else get(shown.queue)


def _replicated(get: Callable[[Request], Any]) -> Callable[[Shown, Request], Any]:
    return lambda shown, request: ABSENT if shown.queue.kind == "classic" else get(request)


def _node_or_absent(shown: Shown, request: Request) -> str | Absent:
    return request.node.name if shown.queue.kind == "quorum" else ABSENT


def _capacity(queue: Queue) -> float:
    """Could consumers take messages at once? RabbitMQ has the share of time, this is the moment."""
    return 1.0 if queue.consumers and any(queue.turns) else 0


def _active_tag(queue: Queue) -> str | None:
    return queue.consumers[0].tag if queue.single_active and queue.consumers else None


def _exclusive_tag(queue: Queue) -> str | None:
    return queue.consumers[0].tag if queue.consumers and queue.consumers[0].exclusive else None


def _owner(shown: Shown, request: Request) -> Any:
    owner: Session | None = shown.queue.owner  # type: ignore[assignment]
    if owner is None or owner.head is None:
        return ABSENT
    return connection_details(owner.head.client_facts())


def _policy(shown: Shown, operator: bool) -> str | None:
    applied = shown.queue.applied
    policy = applied.operator if operator else applied.policy
    return None if policy is None else policy.name


def _consumers(shown: Shown, request: Request) -> list[Any]:
    queue = shown.queue
    return [
        consumer_document(consumer, shown.vhost.name, request)
        for consumer in (*queue.consumers, *queue.standby)
    ]


def _backing(queue: Queue) -> dict[str, Any]:
    """RabbitMQ's view into its own classic queues; the counts that mean the same here."""
    return {
        "avg_ack_egress_rate": 0.0,
        "avg_ack_ingress_rate": 0.0,
        "avg_egress_rate": 0.0,
        "avg_ingress_rate": 0.0,
        "delta": ["delta", "undefined", 0, 0, "undefined"],
        "len": queue.ready_count,
        "mode": "default",
        "next_deliver_seq_id": queue.lanes[-1].delivered_through + 1 if queue.lanes else 0,
        "next_seq_id": queue.lanes[-1].sequence_next if queue.lanes else 0,
        "q1": 0,
        "q2": 0,
        "q3": 0,
        "q4": queue.ready_count,
        "target_ram_count": "infinity",
        "version": 1,
    }


_B, _T, _S, _D = Level.BASIC, Level.TOTALS, Level.STATS, Level.DETAIL
_READY, _UNACKED = stats.QUEUE_TOTALS[1], stats.QUEUE_TOTALS[2]
_ALL = stats.QUEUE_TOTALS[0]

# fmt: off
QUEUE = Document(
    "Queue",
    Field("name", STRING, lambda s, r: s.queue.name),
    Field("vhost", STRING, lambda s, r: s.vhost.name),
    Field("type", STRING, lambda s, r: s.queue.kind),
    Field("durable", BOOLEAN, lambda s, r: s.queue.durable),
    Field("auto_delete", BOOLEAN, lambda s, r: s.queue.auto_delete),
    Field("exclusive", BOOLEAN, lambda s, r: s.queue.owner is not None),
    Field("arguments", OBJECT, lambda s, r: s.queue.arguments),
    Field("node", STRING, lambda s, r: r.node.name),
    Field("state", STRING, _state),
    Field("policy", nullable(STRING), _policy_if_any),
    Field("operator_policy", nullable(STRING), lambda s, r: _policy(s, operator=True), _S),
    Field("effective_policy_definition", OBJECT, lambda s, r: merged(s.queue.applied), _S),
    Field("messages", INTEGER, lambda s, r: _total(_ALL)(s, r) + s.queue.dead_count, _T),
    Field("messages_ready", INTEGER, _total(_READY), _T),
    Field("messages_unacknowledged", INTEGER, _total(_UNACKED), _T),
    Field("messages_details", stats.DETAILS, _details(_ALL), _S),
    Field("messages_ready_details", stats.DETAILS, _details(_READY), _S),
    Field("messages_unacknowledged_details", stats.DETAILS, _details(_UNACKED), _S),
    Field("message_stats", stats.schema_of(*stats.OF_QUEUE), _message_stats, _S),
    Field("message_bytes", INTEGER, _not_stream(_message_bytes), _S),
    Field("message_bytes_ready", INTEGER, _not_stream(lambda q: q.ready_bytes), _S),
    Field("message_bytes_unacknowledged", INTEGER, _not_stream(lambda q: q.unacked_bytes), _S),
    Field("message_bytes_persistent", INTEGER,
          _not_stream(lambda q: _message_bytes(q) if q.journaled else 0), _S),
    Field("message_bytes_ram", INTEGER, _not_stream(_bytes_in_memory), _S),
    Field("message_bytes_paged_out", INTEGER,
          _of_classic(lambda q: q.ready_bytes + q.unacked_bytes - _bytes_in_memory(q)), _S),
    Field("message_bytes_dlx", INTEGER, _of_quorum(lambda q: q.dead_bytes), _S),
    Field("messages_persistent", INTEGER, _not_stream(lambda q: _messages(q) if q.journaled else 0), _S),
    Field("messages_ram", INTEGER, _not_stream(lambda q: _in_memory(_messages(q), q)), _S),
    Field("messages_paged_out", INTEGER,
          _of_classic(lambda q: _messages(q) - _in_memory(_messages(q), q)), _S),
    Field("messages_ready_ram", INTEGER, _of_classic(lambda q: _in_memory(q.ready_count, q)), _S),
    Field("messages_unacknowledged_ram", INTEGER, _of_classic(lambda q: q.unacked_count), _S),
    Field("messages_dlx", INTEGER, _of_quorum(lambda q: q.dead_count), _S),
    Field("log_bytes", INTEGER, _log_bytes, _S),
    Field("consumers", INTEGER, lambda s, r: s.queue.consumer_count, _S),
    Field("consumer_capacity", NUMBER, _not_stream(_capacity), _S),
    Field("consumer_utilisation", NUMBER, _not_stream(_capacity), _S),
    Field("exclusive_consumer_tag", nullable(STRING), _of_classic(_exclusive_tag), _S),
    Field("single_active_consumer_tag", nullable(STRING), _of_classic(_active_tag), _S),
    Field("single_active_consumer_ctag", nullable(STRING), _of_quorum(_active_tag), _S),
    Field("head_message_timestamp", nullable(INTEGER), _of_classic(lambda q: None), _S),
    Field("idle_since", STRING, _idle_since, _S),
    Field("memory", INTEGER, lambda s, r: _memory(s.queue), _S),
    Field("leader", STRING, _node_or_absent),
    Field("members", array(STRING), _replicated(lambda r: [r.node.name])),
    Field("online", array(STRING), _replicated(lambda r: [r.node.name])),
    Field("open_files", OBJECT,
          lambda s, r: {r.node.name: 0} if s.queue.kind == "quorum" else ABSENT, _S),
    Field("readers", OBJECT,
          lambda s, r: {r.node.name: s.queue.consumer_count} if s.queue.in_log else ABSENT, _S),
    Field("recoverable_slaves", nullable(ANY), _of_classic(lambda q: None), _S),
    Field("backing_queue_status", OBJECT, _of_classic(_backing), _S),
    Field("garbage_collection", GARBAGE_COLLECTION, lambda s, r: NO_ERLANG_PROCESS, _S),
    Field("reductions", INTEGER, lambda s, r: 0, _S),
    Field("reductions_details", stats.DETAILS, lambda s, r: stats.no_rate(r), _S),
    Field("owner_pid_details", CONNECTION_DETAILS, _owner, _D),
    Field("consumer_details", array(CONSUMER), _consumers, _D),
    Field("incoming", array(ANY), lambda s, r: [], _D),
    Field("deliveries", array(ANY), lambda s, r: [], _D),
)
# fmt: on


def _all(request: Request) -> Iterator[Shown]:
    wanted = request.query.get("type")
    for vhost in list(request.visible_vhosts()):
        for queue in list(vhost.queues.values()):
            if wanted is None or queue.kind == wanted:
                yield Shown(vhost, queue)


def queues(request: Request) -> Listing:
    if "vhost" in request.path:
        assert request.vhost, "404 before anything is shown"
    return Listing(_all(request), QUEUE, lambda shown: (shown.vhost.name, shown.queue.name))


def queue(request: Request) -> Iterator[bytes]:
    return show(Shown(request.vhost, request.queue), QUEUE, request)


def bindings(request: Request) -> Listing:
    return Listing(bindings_of_queue(request.vhost, request.queue), BINDING, in_order)


_OF_TYPE = Parameter(
    "type", STRING, "Only queues of this type: classic, quorum or stream. RabbitMQ shows all."
)
_LISTED = (*LISTING, _OF_TYPE, *STATS, *SAMPLES)
ROUTES = (
    Route("GET", "/queues", queues, MANAGEMENT, "All queues.", Many(QUEUE), parameters=_LISTED),
    Route("GET", "/queues/detailed", queues, MANAGEMENT, "All queues.", Many(QUEUE), parameters=_LISTED),
    Route(
        "GET",
        "/queues/{vhost}",
        queues,
        SEES,
        "The queues of a virtual host.",
        Many(QUEUE),
        parameters=_LISTED,
    ),
    Route(
        "GET",
        "/queues/{vhost}/{queue}",
        queue,
        SEES,
        "A queue.",
        QUEUE,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route(
        "GET",
        "/queues/{vhost}/{queue}/bindings",
        bindings,
        SEES,
        "The bindings that lead to a queue.",
        Many(BINDING),
        parameters=LISTING,
    ),
)
