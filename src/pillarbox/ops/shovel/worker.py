"""One shovel at work: opens both ends, moves messages, opens them again when either has ended.

**The promise.** With `on-confirm` a message is acknowledged at its source when the destination has confirmed
it, so whatever dies, it is at one of the two: at both, if the death came in between, and never nowhere. A
message that has no queue to go to, because that was deleted since, comes back as a return, which is before
its confirm, and ends the attempt: the next one makes the queue anew. A message that is refused (`basic.nack`)
stays at the source until the next attempt; others that are on their way are waited for first.

**Numbers.** Everything that is delivered is published, in order, on channels that do nothing else; so the tag
of a delivery is the number of its publish, and a confirm for one is an acknowledgement for the other.

**Pressure.** The source is not read while the destination's socket is full, or its broker says that it takes
nothing. On top of that at most `src-prefetch-count` messages are not confirmed.

Not here: what a parameter means (`definition`), where it is kept (`shovels`). Source: RabbitMQ, "Dynamic
Shovels", "Shovel Plugin".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pillarbox.ops.shovel.definition import (
    NO_ACK,
    ON_CONFIRM,
    ON_PUBLISH,
    QUEUE_LENGTH,
    Definition,
    Side,
    properties_of,
)
from pillarbox.ops.shovel.end import End, Network
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.client import CHANNEL, Delivery, Refused

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.ops.shovel.uri import Uri

log = logging.getLogger("pillarbox.shovel")

STARTING, RUNNING, TERMINATED = "starting", "running", "terminated"
GOOD_MS = 60_000
"""How long an attempt has to last so that its end is news, although nothing was there to be moved."""
DRAIN_S = 3
"""How long confirms are waited for when a shovel is stopped; what has not come by then is sent again when it
goes on."""
CONSUMER = "shovel"
"""The consumer's tag, alone on its channel."""
ROUTES_MAX = 1000
"""Frames of basic.publish that are kept, where messages go on under their own routing keys."""


class Trouble(Exception):
    """Why an attempt has ended: at which end, and what; nothing secret is in it."""


class Context:
    """What a worker needs of where it works. `who`: whom a URI of this broker is for; `cluster_name`: what
    forwarded messages are told."""

    def __init__(
        self,
        network: Network,
        who: Callable[[Uri], Awaitable[Principal | None]],
        now_ms: Callable[[], int],
        cluster_name: Callable[[], str],
    ) -> None:
        self.network = network
        self.who = who
        self.now_ms = now_ms
        self.cluster_name = cluster_name


class Worker:
    """See the module. `finished` is called when it has moved what it was to move."""

    def __init__(
        self, vhost: str, name: str, definition: Definition, context: Context, finished: Callable[[], None]
    ) -> None:
        self.vhost = vhost
        self.name = name
        self.definition = definition
        self.state = STARTING
        self.reason = ""
        """Why it is terminated; nothing secret is in it."""
        self.changed_ms = context.now_ms()
        self.uris = definition.source.uris[0], definition.destination.uris[0]
        """Of the source and the destination, as they are tried now."""
        self._context = context
        self._finished = finished
        self._left: int | None = None
        """How many messages are to be moved yet; None: not counted, or not known yet."""
        if isinstance(definition.delete_after, int):
            self._left = definition.delete_after
        self._was_good = False
        """The last attempt has moved something, or lasted."""
        self._attempt: Attempt | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.vhost!r} {self.name!r} {self.state} left={self._left}>"

    def start(self, after: Worker | None = None) -> None:
        """Begin to work, when the one before has ended."""
        self._task = asyncio.get_running_loop().create_task(self._work(after))

    async def stop(self) -> None:
        """End it: what is on its way is waited for, but not for long."""
        task, self._task = self._task, None
        if task is None:
            return
        attempt = self._attempt
        if attempt is not None and self.state == RUNNING:
            # What cannot be waited for stays at the source.
            with suppress(Refused, OSError):
                async with asyncio.timeout(DRAIN_S):
                    await attempt.drain()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # --- attempts ------------------------------------------------------------------------------------------

    async def _work(self, after: Worker | None) -> None:
        if after is not None:
            await after.stop()
        tries = 0
        told = ""
        while True:
            source, destination = self.definition.source.uris, self.definition.destination.uris
            self.uris = source[tries % len(source)], destination[tries % len(destination)]
            tries += 1
            self._become(STARTING)
            problem = await self._try()
            if problem is None:
                log.info("shovel '%s' in vhost '%s' is done", self.name, self.vhost)
                self._finished()
                return
            self._become(TERMINATED, problem)
            delay_s = self.definition.reconnect_delay_s
            if problem != told or self._was_good:
                # Only what is news: a broker that is away for a night shall not fill the log.
                then = f"it is tried again every {delay_s:g} s" if delay_s else "it is not tried again"
                log.warning("shovel '%s' in vhost '%s': %s; %s", self.name, self.vhost, problem, then)
                told = problem
            if not delay_s:
                return
            await asyncio.sleep(delay_s)

    async def _try(self) -> str | None:
        """Work until it is done (None) or something is wrong (what)."""
        if self._left == 0:
            return None
        attempt = self._attempt = Attempt(self, self._context, self._left)
        try:
            await attempt.open()
            self._become(RUNNING)
            await attempt.over
            with _at("source", self.uris[0]):
                await attempt.close()
        except Trouble as error:
            return str(error)
        except Exception as error:
            log.exception("shovel '%s' in vhost '%s' has a defect", self.name, self.vhost)
            return _words(error)
        finally:
            lasted_ms = self._context.now_ms() - self.changed_ms if self.state == RUNNING else 0
            self._was_good = attempt.has_moved or lasted_ms > GOOD_MS
            self._attempt = None
            self._left = attempt.left
            attempt.abort()
        return None

    def _become(self, state: str, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self.changed_ms = self._context.now_ms()

    # --- what is seen of it --------------------------------------------------------------------------------

    def ends(self) -> dict[str, str]:
        """Both ends, in the words of RabbitMQ's headers (with `-`) and documents (with `_`)."""
        source, destination = (uri.shown for uri in self.uris)
        found = {"src-uri": source, "dest-uri": destination}
        for prefix, side in (("src", self.definition.source), ("dest", self.definition.destination)):
            found |= {f"{prefix}-{key}": value for key, value in _places(side).items() if value is not None}
        return found


def _places(side: Side) -> Mapping[str, str | None]:
    return {"queue": side.queue, "exchange": side.exchange, "exchange-key": side.key}


def _words(error: BaseException) -> str:
    """What went wrong, for people."""
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    return str(error) or type(error).__name__


class Attempt:
    """Two connections and what is on its way between them. `left`: how many are to be moved yet, or None."""

    def __init__(self, worker: Worker, context: Context, left: int | None) -> None:
        self.left = left
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when everything is moved; else has what went wrong."""
        self._worker = worker
        self._context = context
        definition = self._definition = worker.definition
        self._acknowledge = definition.acknowledge
        title, where = f"Shovel {worker.name}", f"in {worker.vhost}"
        self._source = End(_Source(self), title, f"{title} {where}, source")
        self._destination = End(_Destination(self), title, f"{title} {where}, destination")
        self._wanted = left
        self._out: list[bytes] = []
        self._sequence = 0
        """Of the last message that was published, and of its delivery."""
        self._confirmed = 0
        """Up to here, and those in `_confirmed_above`, all are confirmed or refused."""
        self._confirmed_above: set[int] = set()
        self._acked = 0
        """Up to here, all are acknowledged at the source."""
        self._refused: set[int] = set()
        self._cancelled = False
        self._drained: asyncio.Future[None] | None = None
        self._pressure: set[str] = set()
        self._rewrite = _rewriter(definition, self._forward_header(), context.now_ms)
        self._routes: dict[tuple[str, str], bytes] = {}

    def _forward_header(self) -> dict[str, Any]:
        if not self._definition.forward_headers:
            return {}
        return {
            "shovelled-by": self._context.cluster_name(),
            "shovel-type": "dynamic",
            "shovel-name": self._worker.name,
            "shovel-vhost": self._worker.vhost,
            **self._worker.ends(),
        }

    # --- opening and closing -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect both ends and let messages come."""
        context, definition = self._context, self._definition
        source_uri, destination_uri = self._worker.uris
        vhost = self._worker.vhost
        with _at("source", source_uri):
            await self._source.open(context.network, source_uri, vhost, context.who)
        with _at("destination", destination_uri):
            await self._destination.open(context.network, destination_uri, vhost, context.who)
            side = definition.destination
            if side.queue:
                await self._destination.ensure_queue(
                    side.queue, side.queue_arguments, predeclared=side.predeclared
                )
            if self._acknowledge == ON_CONFIRM:
                await self._destination.call(methods.CONFIRM_SELECT, False, answer=methods.CONFIRM_SELECT_OK)
        with _at("source", source_uri):
            queue, count = await self._find_source(definition.source)
            if definition.delete_after == QUEUE_LENGTH:
                self.left = self._wanted = count if self.left is None else min(self.left, count)
            if self.left == 0:
                self._done()
                return
            await self._consume(queue)

    async def _find_source(self, side: Side) -> tuple[str, int]:
        if side.queue is not None:
            count = await self._source.ensure_queue(
                side.queue, side.queue_arguments, predeclared=side.predeclared
            )
            return side.queue, count
        exchange = side.exchange or ""
        return await self._source.temporary_queue(exchange, side.key or "", side.queue_arguments), 0

    async def _consume(self, queue: str) -> None:
        prefetch = self._definition.prefetch
        if self._wanted is not None and self._acknowledge != NO_ACK:
            prefetch = min(prefetch or self._wanted, self._wanted, 65_535)
        await self._source.call(methods.BASIC_QOS, 0, prefetch, False, answer=methods.BASIC_QOS_OK)
        await self._source.call(
            methods.BASIC_CONSUME,
            *(0, queue, CONSUMER, False, self._acknowledge == NO_ACK, False, False),
            self._definition.consumer_arguments,
            answer=methods.BASIC_CONSUME_OK,
        )

    @property
    def has_moved(self) -> bool:
        return self._acked > 0

    async def drain(self) -> None:
        """Take no more, and wait until what is on its way is settled; then close both ends."""
        self._drained = asyncio.get_running_loop().create_future()
        self._cancel()
        self._look_whether_drained()
        await asyncio.wait([self._drained, self.over], return_when=asyncio.FIRST_COMPLETED)
        await self.close()

    async def close(self) -> None:
        """Close both ends, when they have acted on everything."""
        if self._acknowledge == NO_ACK:
            # What comes until then has left its queue for good.
            await self._source.call(methods.BASIC_CANCEL, CONSUMER, False, answer=methods.BASIC_CANCEL_OK)
            self.flush()
        await self._destination.close()
        await self._source.close()

    def abort(self) -> None:
        """Cut both ends; nothing is told any more."""
        if not self.over.done():
            self.over.cancel()
        elif not self.over.cancelled():
            # Looked at, so that nobody complains that it was not.
            self.over.exception()
        self._source.abort()
        self._destination.abort()

    def fail(self, where: str, reason: Exception) -> None:
        """Something is wrong with one end."""
        if not self.over.done():
            self.over.set_exception(Trouble(f"{where}: {_words(reason)}"))

    def _done(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def _cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._source.client.cast(methods.BASIC_CANCEL, CONSUMER, True)

    # --- messages out of the source ------------------------------------------------------------------------

    def delivered(self, delivery: Delivery) -> None:
        """Publish what has come."""
        if self._acknowledge != NO_ACK and (self._cancelled or self.over.done()):
            # It stays unacknowledged, and goes back when the channel is closed.
            return
        self._sequence += 1
        tag, exchange, routing_key, properties, body = delivery
        if tag != self._sequence:
            self.fail("source", Refused(0, f"delivery {tag} came where {self._sequence} was due"))
            return
        if self._rewrite is not None:
            properties = self._rewrite(properties)
        route = self._routes.get((exchange, routing_key)) or self._route(exchange, routing_key)
        self._out.append(self._destination.client.message(route, properties, body))
        if self._sequence == self._wanted:
            self._cancel()

    def _route(self, exchange: str, routing_key: str) -> bytes:
        """The frame of basic.publish for a message that came with these, kept for the next one."""
        side = self._definition.destination
        to_exchange, to_key = exchange, routing_key
        if side.queue is not None:
            to_exchange, to_key = "", side.queue
        elif side.exchange is not None:
            to_exchange = side.exchange
        if side.key is not None and side.queue is None:
            to_key = side.key
        mandatory = side.queue is not None and self._acknowledge == ON_CONFIRM
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        frame = self._routes[exchange, routing_key] = methods.method_frame(
            CHANNEL, methods.BASIC_PUBLISH, 0, to_exchange, to_key, mandatory, False
        )
        return frame

    def flush(self) -> None:
        """Write what came at once, at once."""
        if not self._out:
            return
        out, self._out = self._out, []
        self._destination.send(b"".join(out))
        if self._acknowledge == ON_CONFIRM:
            return
        if self._acknowledge == ON_PUBLISH:
            self._source.client.cast(methods.BASIC_ACK, self._sequence, True)
        self._confirmed = self._acked = self._sequence
        self._count()

    # --- confirms out of the destination -------------------------------------------------------------------

    def settled(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Note what is confirmed, or refused."""
        if not accepted:
            first = self._confirmed + 1 if multiple else tag
            self._refused.update(each for each in range(first, tag + 1) if each not in self._confirmed_above)
            self._cancel()
        if multiple:
            self._confirmed = max(self._confirmed, tag)
            if self._confirmed_above:
                self._confirmed_above = {each for each in self._confirmed_above if each > tag}
        else:
            self._confirmed_above.add(tag)
        while self._confirmed + 1 in self._confirmed_above:
            self._confirmed += 1
            self._confirmed_above.discard(self._confirmed)

    def acknowledge(self) -> None:
        """Acknowledge what is confirmed: as far as nothing is missing, in one frame."""
        if self.over.done():
            return
        if self._refused:
            self._look_whether_refused()
        elif self._confirmed > self._acked:
            self._acked = self._confirmed
            self._source.client.cast(methods.BASIC_ACK, self._acked, True)
            self._count()
        self._look_whether_drained()

    def _count(self) -> None:
        if self._wanted is not None:
            self.left = max(0, self._wanted - self._acked)
            if self.left == 0:
                self._done()

    def _look_whether_refused(self) -> None:
        """When all others are confirmed: acknowledge those, and let the attempt end."""
        if self._confirmed < self._sequence:
            return
        good = [tag for tag in range(self._acked + 1, self._sequence + 1) if tag not in self._refused]
        for tag in good:
            self._source.client.cast(methods.BASIC_ACK, tag, False)
        if self.left is not None:
            self.left = max(0, self.left - len(good))
        count = len(self._refused)
        self.fail("destination", Refused(0, f"{count} message{'s'[: count > 1]} refused"))

    def _look_whether_drained(self) -> None:
        if self._drained is not None and not self._drained.done() and self._confirmed >= self._sequence:
            self._drained.set_result(None)

    def press(self, why: str, on: bool) -> None:
        """Leave the source alone for this reason, or not any more."""
        if on:
            self._pressure.add(why)
        else:
            self._pressure.discard(why)
        self._source.hold(bool(self._pressure))


class _Side:
    """What an end tells, unless it is of one kind of end."""

    WHERE = ""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def delivered(self, delivery: Delivery) -> None:
        """Nobody has asked for it."""

    def settled(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Nothing was published."""

    def returned(self, text: str) -> None:
        """Nothing was published."""

    def held(self, held: bool) -> None:
        """Nothing is published."""

    def received(self) -> None:
        """Nothing waits for that."""

    def full(self, full: bool) -> None:
        """Acknowledgements are few."""

    def failed(self, reason: Exception) -> None:
        self._attempt.fail(self.WHERE, reason)


class _Source(_Side):
    WHERE = "source"

    def delivered(self, delivery: Delivery) -> None:
        self._attempt.delivered(delivery)

    def received(self) -> None:
        self._attempt.flush()


class _Destination(_Side):
    WHERE = "destination"

    def settled(self, tag: int, multiple: bool, accepted: bool) -> None:
        self._attempt.settled(tag, multiple, accepted)

    def returned(self, text: str) -> None:
        self._attempt.fail(self.WHERE, Refused(0, f"the queue is gone ({text})"))

    def held(self, held: bool) -> None:
        self._attempt.press("held", held)

    def received(self) -> None:
        self._attempt.acknowledge()

    def full(self, full: bool) -> None:
        self._attempt.press("full", full)


@contextmanager
def _at(where: str, uri: Uri) -> Iterator[None]:
    """Have what goes wrong say at which end."""
    try:
        yield
    except (Refused, OSError, ValueError) as error:
        raise Trouble(f"{where} {uri.shown}: {_words(error)}") from None


def _rewriter(
    definition: Definition, forwarded: dict[str, Any], now_ms: Callable[[], int]
) -> Callable[[bytes], bytes] | None:
    """What makes the properties that a message goes on with of those that it came with; None: they stay."""
    if not (definition.properties or forwarded or definition.timestamp_header):
        return None

    def rewrite(properties: bytes) -> bytes:
        found = properties_of(wire.decode_properties(properties), definition.properties)
        if forwarded or definition.timestamp_header:
            headers = dict(found.headers or {})
            if forwarded:
                before = headers.get("x-shovelled")
                headers["x-shovelled"] = [forwarded, *(before if isinstance(before, list) else [])]
            if definition.timestamp_header:
                headers["x-shovelled-timestamp"] = wire.Long(now_ms() // 1000)
            found = found._replace(headers=headers)
        return wire.encode_properties(found)

    return rewrite
