"""Perform a sequence on a broker and write down what it answered, step by step.

A step's result is a dict: by channel ("a1", "a0" for the connection itself) the list of normalised
events; "queues": name → [ready, consumers], "gone" or "locked", as far as it changed; "exchanges": name →
"there" or "gone", as far as it changed; "http": what the management API answered. Empty parts are left out; a
step that could not be done is void.

After every operation the runner waits until nothing moves: for a synchronous method its answer; then
rounds of a barrier on every channel and a passive declare of every known queue, until `quiet_rounds`
rounds in a row brought nothing new and no confirm is owed. RabbitMQ's queues and channels are processes of
their own and need several such rounds; the number of rounds is bounded, and no round sleeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from tests.compare.client import (
    METHODS,
    Channel,
    Client,
    Event,
    Link,
    PeerSilent,
    content_frames,
    method_frame,
)
from tests.compare.normalise import (
    CANCELS,
    CONFIRMS,
    DELIVERIES,
    KINDS,
    REPLIES,
    RETURNS,
    Aliases,
    grouped,
    plain,
)
from tests.compare.operations import HTTP_METHODS, OWN_ARGUMENTS, Operation, Sequence
from tests.management.http import Client as HttpClient

Step = dict[str, Any]

PROBE_FIRST = 1000  # Channels from here on belong to the runner.
ROUNDS_MAX = 400
ADMIN = "~"
CONSUMES = "basic.consume"


def _answers() -> dict[str, tuple[str, ...]]:
    by_pamqp_name = {method.name: name for name, method in METHODS.items()}
    return {
        name: tuple(by_pamqp_name[answer] for answer in method.valid_responses)
        for name, method in METHODS.items()
        if method.synchronous
    }


ANSWERS = _answers()


@dataclass(frozen=True)
class Unsettled:
    """A delivery that wants a settlement; `group` is the highest tag of those whose order is free."""

    tag: int
    group: int
    queue: str
    consumer: str  # empty: basic.get


@dataclass
class Watch:
    """What the runner knows of one channel's life since it was opened."""

    queue_last: str = ""
    consumers: dict[str, str] = field(default_factory=dict)  # tag → queue
    no_ack: set[str] = field(default_factory=set)
    unsettled: list[Unsettled] = field(default_factory=list)
    transactional: bool = False
    answered: list[Unsettled] = field(default_factory=list)  # in the transaction that is open
    confirming: bool = False
    published: int = 0
    unconfirmed: set[int] = field(default_factory=set)


@dataclass
class Probe:
    """A queue or exchange that is looked at after every step."""

    kind: str  # "queue", "exchange"
    name: str
    link: str
    channel: int
    seen: Any = None
    now: Any = None


class Runner:
    """One run of one sequence on one broker."""

    def __init__(self, host: str, port: int, *, management_port: int = 0, quiet_rounds: int) -> None:
        self.client = Client(host, port)
        self.http = HttpClient(f"http://{host}:{management_port}")
        self.told: list[Any] = []
        self.policies: dict[tuple[str, str], None] = {}
        self.quiet_rounds = quiet_rounds
        self.aliases = Aliases()
        self.watches: dict[str, Watch] = {}
        self.probes: dict[tuple[str, str], Probe] = {}
        self.named: dict[tuple[str, str], None] = {}
        self.vhosts: dict[str, str] = {}
        self.probe_next = PROBE_FIRST
        self.client.connect(ADMIN)

    def run(self, sequence: Sequence) -> list[Step]:
        """Perform all operations, remove what they made, return the steps."""
        try:
            steps = []
            for number, operation in enumerate(sequence):
                try:
                    steps.append(self.step(number, operation))
                except PeerSilent as error:
                    raise PeerSilent(f"step {number}, {operation}: {error}") from error
            return steps
        finally:
            self.clean()

    def step(self, number: int, operation: Operation) -> Step:
        """Perform one operation and return all that it caused."""
        args = self.aliases.show(operation.args)
        link = self._ready(operation, args)
        if link is None:
            return {"void": True}
        if "delivery" in args and not self._resolve_delivery(operation, args):
            return {"void": True}
        if self._has_open_outcome(operation, args):
            return {"void": True}
        self._perform(number, operation, args, link)
        self._settle()
        self._probe_exchanges()
        return self._collect(operation)

    # --- performing -------------------------------------------------------------------------------------

    def _ready(self, operation: Operation, args: dict[str, Any]) -> Link | None:
        """Return the operation's link with its channel open, opened now if need be; None if that is void."""
        name, number = operation.connection, operation.channel
        if operation.name in HTTP_METHODS:
            return self.client.links[ADMIN]
        link = self.client.links.get(name)
        if operation.name in ("connect", "dial"):
            if link is not None:
                self.client.disconnect(name)
            self._forget(name)
            return self.client.dial(name) if operation.name == "dial" else self._connect(name, args)
        if link is None or not link.is_open or link.is_closing:
            if not args.get("ensure", True) or operation.name in ("disconnect", "connection.close"):
                return None
            self._forget(name)
            link = self._connect(name, {})
            link.channels[0].events.clear()
        wanted = args.get("channels", [number] if number else [])
        if operation.name in ("channel.close", "channel.open") or not args.get("ensure", True):
            return link if operation.name != "channel.close" or link.channel(number).is_open else None
        for each in wanted:
            if not link.channel(each).is_open:
                self.watches[f"{name}{each}"] = Watch()
                self.client.open_channel(link, each)
        return link

    def _connect(self, name: str, args: dict[str, Any]) -> Link:
        self.vhosts[name] = args.get("vhost", "/")
        keys = ("user", "password", "vhost", "tune", "properties", "mechanism", "response")
        link = self.client.connect(name, **{key: args[key] for key in keys if key in args})
        events = link.channels[0].events
        # What was offered is the business of the transcripts that dial; here the outcome counts.
        link.channels[0].events = [e for e in events if e.name not in ("connection.start", "connection.tune")]
        return link

    def _forget(self, connection: str) -> None:
        for on in [on for on in self.watches if on[0] == connection]:
            del self.watches[on]
        for probe in self.probes.values():
            if probe.link == connection:
                probe.link = ADMIN

    def _perform(self, number: int, operation: Operation, args: dict[str, Any], link: Link) -> None:
        name, channel = operation.name, operation.channel
        watch = self.watches.setdefault(operation.on, Watch())
        if name in HTTP_METHODS:
            self._administer(name, args)
        elif name == "disconnect":
            self.client.disconnect(operation.connection)
            self._forget(operation.connection)
        elif name in ("dial", "raw"):
            for each in args.get("channels", ()):
                link.channel(each).hold_close_ok = bool(args.get("hold"))
            link.send(bytes.fromhex(args["data"]))
            self._expect(link, args.get("expect"))
        elif name == "basic.publish":
            self._publish(number, args, link, channel, watch)
        elif name != "connect":
            self._method(name, args, link, channel, watch)

    def _administer(self, name: str, args: dict[str, Any]) -> None:
        kind, policy = args["kind"], args["policy"]
        path, document = f"{kind}/%2F/{policy}", args.get("document")
        reply = self.http.request(HTTP_METHODS[name], path, document, {"Content-Type": "application/json"})
        self.told = [reply.status, *([unescape(reply.document["reason"])] if reply.status == 400 else ())]
        self.policies[kind, policy] = None

    def _expect(self, link: Link, expected: list[Any] | None) -> None:
        if expected is None:
            return
        channel, name = expected

        def arrived() -> bool:
            return any(event.name == name for event in link.channel(channel).events)

        self.client.read_until(lambda: arrived() or not link.is_open, f"{name} on channel {channel}")

    def _publish(self, number: int, args: dict[str, Any], link: Link, channel: int, watch: Watch) -> None:
        properties = bytes.fromhex(args.get("properties", "0000"))
        method = {key: value for key, value in args.items() if key not in OWN_ARGUMENTS}
        count = args.get("count", 1)
        data = b""
        for index in range(count):
            body = args.get("body", f"m{number}" if count == 1 else f"m{number}.{index}")
            body = body[0] * body[1] if isinstance(body, list) else body
            data += method_frame(channel, "basic.publish", **method)
            data += content_frames(channel, properties, body.encode(), link.frame_max)
        if watch.confirming:
            watch.unconfirmed.update(range(watch.published + 1, watch.published + count + 1))
        watch.published += count
        link.send(data)

    def _method(self, name: str, args: dict[str, Any], link: Link, channel: int, watch: Watch) -> None:
        method = {key: value for key, value in args.items() if key not in OWN_ARGUMENTS}
        if name == CONSUMES and method.get("consumer_tag"):
            self._consumes(watch, method["consumer_tag"], method)
        if name == "basic.cancel" and method.get("nowait"):
            watch.consumers.pop(method["consumer_tag"], None)
        if name == "queue.declare" and method.get("queue") and not method.get("passive"):
            self._watch_queue(method["queue"], link, bool(method.get("exclusive")))
            watch.queue_last = method["queue"]
        if name == "exchange.declare" and not method.get("passive"):
            self._watch_exchange(method["exchange"], link)
        link.channel(channel).hold_close_ok = bool(args.get("hold"))
        link.send(method_frame(channel, name, **method))
        if name == "channel.close-ok":
            link.channel(channel).hold_close_ok = False
        answers = () if method.get("nowait") else ANSWERS.get(name, ())
        if answers:
            self._await_answer(link, channel, answers)
        if name == "queue.declare" and not method.get("queue"):
            self._named_by_server(link, channel, bool(method.get("exclusive")))
        if name == "confirm.select" and not watch.confirming:
            watch.confirming, watch.published = True, 0
        elif name.startswith("tx."):
            self._transact(name, watch)
        elif name in ("basic.ack", "basic.nack", "basic.reject"):
            self._settled(watch, method)
        elif name.startswith("basic.recover"):
            watch.unsettled.clear()

    def _named_by_server(self, link: Link, channel: int, exclusive: bool) -> None:
        for event in link.channel(channel).events:
            if event.name == "queue.declare-ok" and event.args["queue"]:
                self.aliases.hide(event.args["queue"])
                self._watch_queue(event.args["queue"], link, exclusive)

    @staticmethod
    def _consumes(watch: Watch, tag: str, method: dict[str, Any]) -> None:
        watch.consumers[tag] = method.get("queue") or watch.queue_last
        if method.get("no_ack"):
            watch.no_ack.add(tag)
        else:
            watch.no_ack.discard(tag)

    def _await_answer(self, link: Link, number: int, answers: tuple[str, ...]) -> None:
        channel = link.channel(number)

        def answered() -> bool:
            if not link.is_open or (link.is_closing and "connection.close-ok" not in answers):
                return True
            return any(event.name in answers or event.name == "channel.close" for event in channel.events)

        self.client.read_until(answered, f"{' or '.join(answers)} on channel {number}")

    def _resolve_delivery(self, operation: Operation, args: dict[str, Any]) -> bool:
        """Put a tag in the place of `delivery`; False if nothing is unsettled.

        With `multiple` the tag is the highest of the delivery's group, so that a group whose order is free is
        settled as a whole or not at all.
        """
        watch = self.watches.setdefault(operation.on, Watch())
        if not watch.unsettled:
            return False
        chosen = watch.unsettled[args.pop("delivery") % len(watch.unsettled)]
        args["delivery_tag"] = chosen.group if args.get("multiple") else chosen.tag
        return True

    @staticmethod
    def _settled(watch: Watch, method: dict[str, Any]) -> None:
        tag = method["delivery_tag"]
        before = watch.unsettled
        if not method.get("multiple"):
            watch.unsettled = [each for each in before if each.tag != tag]
        else:
            watch.unsettled = [each for each in before if tag and each.tag > tag]
        if watch.transactional:
            watch.answered += [each for each in before if each not in watch.unsettled]

    @staticmethod
    def _transact(name: str, watch: Watch) -> None:
        if name == "tx.select":
            watch.transactional = True
        elif name == "tx.rollback":
            watch.unsettled = sorted([*watch.unsettled, *watch.answered], key=lambda each: each.tag)
        if name != "tx.select":
            watch.answered.clear()

    # --- what is left out -------------------------------------------------------------------------------

    def _has_open_outcome(self, operation: Operation, args: dict[str, Any]) -> bool:
        """Tell whether RabbitMQ's answer would be an accident of its making.

        It requeues consumer by consumer and delivers in between, so that a nack of several consumers'
        messages changes their order. And it ends a connection channel by channel, so that one channel's
        messages may go to another of the same dying connection.
        """
        name = operation.name
        if name.startswith("basic.recover") or (name == "basic.nack" and args.get("multiple")):
            return args.get("requeue", False) and self._mixes_consumers(operation, args)
        if name == "tx.commit":
            return self._mixed(self.watches.get(operation.on, Watch()).answered)
        return self._ends_connection(operation, args) and self._shares_queues(operation.connection)

    def _mixes_consumers(self, operation: Operation, args: dict[str, Any]) -> bool:
        watch = self.watches.get(operation.on, Watch())
        last = args.get("delivery_tag", 0)
        return self._mixed([each for each in watch.unsettled if not last or each.tag <= last])

    @staticmethod
    def _mixed(deliveries: list[Unsettled]) -> bool:
        """Tell whether several consumers of one queue have got these."""
        sources = {(each.queue, each.consumer) for each in deliveries}
        return len(sources) > len({queue for queue, _ in sources})

    def _ends_connection(self, operation: Operation, args: dict[str, Any]) -> bool:
        watch = self.watches.get(operation.on, Watch())
        return operation.name in ("disconnect", "connection.close") or (
            {
                "basic.consume": args.get("consumer_tag") in watch.consumers,
                "basic.publish": args.get("immediate"),
                "basic.qos": args.get("prefetch_size"),
                "basic.recover": not args.get("requeue"),
                "channel.flow": not args.get("active"),
                "channel.open": True,
            }.get(operation.name)
            or False
        )

    def _shares_queues(self, connection: str) -> bool:
        """Tell whether a consumer of one channel could get what another channel of the connection holds."""
        held: dict[str, set[str]] = {}
        consumed: dict[str, set[str]] = {}
        for on, watch in self.watches.items():
            if on[0] == connection:
                held[on] = {each.queue for each in (*watch.unsettled, *watch.answered)}
                consumed[on] = set(watch.consumers.values())
        return any(held[one] & consumed[other] for one in held for other in consumed if one != other)

    # --- waiting ----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        quiet = 0
        before: Any = None
        for _ in range(ROUNDS_MAX):
            self.client.barrier(skip=self._is_ours)
            self._probe("queue")
            owed = self._owed()
            seen = (
                sum(
                    len(channel.events)
                    for link in self.client.links.values()
                    for channel in link.channels.values()
                ),
                [probe.now for probe in self.probes.values()],
            )
            quiet = quiet + 1 if seen == before and not owed else 0
            before = seen
            if quiet >= self.quiet_rounds:
                return
            if owed:
                self.client.read(1.0)
        raise PeerSilent(f"not quiet after {ROUNDS_MAX} rounds; confirms owed: {owed}")

    @staticmethod
    def _is_ours(channel: Channel) -> bool:
        return channel.number >= PROBE_FIRST

    def _owed(self) -> list[str]:
        """Return the channels on which confirms are still to come; reads what has come, without taking it."""
        result = []
        for on, watch in self.watches.items():
            link = self.client.links.get(on[0])
            channel = link.channels.get(int(on[1:] or 0)) if link else None
            if not watch.unconfirmed or channel is None or not channel.is_open:
                continue
            left = set(watch.unconfirmed)
            for event in channel.events:
                if KINDS.get(event.name) == CONFIRMS:
                    left -= self._confirmed(event, left)
            if left:
                result.append(on)
        return result

    @staticmethod
    def _confirmed(event: Event, unconfirmed: Iterable[int]) -> set[int]:
        tag = event.args["delivery_tag"]
        if event.args["multiple"]:
            return {number for number in unconfirmed if number <= tag or tag == 0}
        return {tag}

    def _watch_queue(self, name: str, link: Link, exclusive: bool) -> None:
        on = next(key for key, value in self.client.links.items() if value is link)
        if self.vhosts.get(on, "/") != "/":
            return
        probe = self._watch("queue", name)
        if exclusive and probe.now in (None, "gone"):
            probe.link = on

    def _watch_exchange(self, name: str, link: Link) -> None:
        on = next(key for key, value in self.client.links.items() if value is link)
        if self.vhosts.get(on, "/") == "/" and name and not name.startswith("amq."):
            self._watch("exchange", name)

    def _watch(self, kind: str, name: str) -> Probe:
        self.named[kind, name] = None
        probe = self.probes.get((kind, name))
        if probe is None:
            probe = self.probes[kind, name] = Probe(kind, name, ADMIN, self.probe_next)
            self.probe_next += 1
        return probe

    def _probe(self, kind: str) -> None:
        """Ask for every watched queue or exchange once, all at the same time."""
        asked: list[tuple[Probe, Channel]] = []
        sent: dict[str, bytes] = {}
        for probe in [probe for probe in self.probes.values() if probe.kind == kind]:
            link = self.client.links.get(probe.link)
            if link is None or not link.is_open or link.is_closing:
                probe.link = ADMIN
                link = self.client.links[ADMIN]
            channel = link.channel(probe.channel)
            data = b"" if channel.is_open else method_frame(probe.channel, "channel.open")
            key = (
                {"queue": probe.name}
                if kind == "queue"
                else {"exchange": probe.name, "exchange_type": "direct"}
            )
            data += method_frame(probe.channel, f"{kind}.declare", passive=True, **key)
            sent[probe.link] = sent.get(probe.link, b"") + data
            asked.append((probe, channel))
        for name, data in sent.items():
            self.client.links[name].send(data)
        for probe, channel in asked:
            self._take_probe(probe, channel)

    def _take_probe(self, probe: Probe, channel: Channel) -> None:
        link = self.client.links[probe.link]
        names = (f"{probe.kind}.declare-ok", "channel.close")
        self.client.read_until(
            lambda: not link.is_open or any(event.name in names for event in channel.events),
            f"probe of {probe.name}",
        )
        answer = next((event for event in channel.events if event.name in names), None)
        channel.events.clear()
        if answer is None:
            probe.now = None  # The connection has just ended; the next round asks on another.
        elif answer.name != "channel.close":
            probe.now = [answer.args.get("message_count", 0), answer.args.get("consumer_count", 0)]
        else:
            probe.now = {404: "gone", 405: "locked"}.get(answer.args["reply_code"], answer.args["reply_text"])

    def _probe_exchanges(self) -> None:
        self._probe("exchange")

    # --- collecting -------------------------------------------------------------------------------------

    def _collect(self, operation: Operation) -> Step:
        step: Step = {}
        for name, link in self.client.links.items():
            for number, channel in link.channels.items():
                if channel.events and number < PROBE_FIRST and name != ADMIN:
                    step[f"{name}{number}"] = self._channel(f"{name}{number}", channel, operation)
        if self.told:
            step["http"], self.told = self.told, []
        for kind in ("queue", "exchange"):
            changed = self._changed(kind)
            if changed:
                step[f"{kind}s"] = changed
        return step

    def _changed(self, kind: str) -> dict[str, Any]:
        result = {}
        for key, probe in list(self.probes.items()):
            if probe.kind != kind:
                continue
            now = probe.now if kind == "queue" or not isinstance(probe.now, list) else "there"
            if now != probe.seen:
                result[self.aliases.hide(probe.name)] = now
            probe.seen = now
            if now == "gone":
                del self.probes[key]
        return result

    def _channel(self, on: str, channel: Channel, operation: Operation) -> list[Any]:
        watch = self.watches.setdefault(on, Watch())
        parts: list[list[Any]] = [[], [], [], [], []]
        confirmed: dict[str, set[int]] = {}
        notes: list[list[Any]] = []
        returns = sum(event.name == "basic.return" for event in channel.events)
        for event in channel.events:
            self._learn(on, watch, event, operation)
            kind = DELIVERIES if event.name == "basic.deliver" else KINDS.get(event.name, REPLIES)
            if kind == CONFIRMS:
                numbers = self._confirmed(event, watch.unconfirmed)
                watch.unconfirmed -= numbers
                confirmed.setdefault(event.name, set()).update(numbers)
                if returns and len(parts[RETURNS]) < min(returns, self._rank(numbers, watch, operation)):
                    notes.append(["order", "confirm before its return"])
            elif kind == DELIVERIES:
                tag = event.args["consumer_tag"]
                if tag not in watch.consumers:
                    notes.append(["order", "delivery to no consumer"])
                parts[kind].append((watch.consumers.get(tag, "?"), plain(event, self.aliases)))
            else:
                parts[kind].append(plain(event, self.aliases))
        parts[CONFIRMS] = [
            [f"confirm {name[6:]}", *sorted(numbers)] for name, numbers in sorted(confirmed.items())
        ]
        self._note_unsettled(watch, parts[DELIVERIES])
        parts[DELIVERIES] = grouped(parts[DELIVERIES])
        parts[CANCELS].sort()
        for event in channel.events:
            if event.name in ("basic.cancel", "basic.cancel-ok"):
                watch.consumers.pop(event.args["consumer_tag"], None)
        channel.events.clear()
        if not channel.is_open:
            self.watches[on] = Watch()
        return [event for part in parts for event in part] + notes

    @staticmethod
    def _rank(numbers: set[int], watch: Watch, operation: Operation) -> int:
        """Return how many of this step's messages are confirmed up to the highest of `numbers`."""
        published: int = watch.published - operation.args.get("count", 1)
        return max(numbers, default=0) - published

    def _learn(self, on: str, watch: Watch, event: Event, operation: Operation) -> None:
        """Keep what later steps need to know."""
        mine = on == operation.on
        if event.name == "queue.declare-ok":
            watch.queue_last = event.args["queue"]
        elif event.name == "basic.consume-ok" and mine and not operation.args.get("consumer_tag"):
            self._consumes(watch, event.args["consumer_tag"], self.aliases.show(operation.args))
        elif event.name == "basic.get-ok" and not operation.args.get("no_ack"):
            tag = event.args["delivery_tag"]
            queue = self.aliases.show(operation.args.get("queue", "")) or watch.queue_last
            watch.unsettled.append(Unsettled(tag, tag, queue, ""))

    def _note_unsettled(self, watch: Watch, deliveries: list[tuple[str, list[Any]]]) -> None:
        """Append deliveries that want a settlement, in an order on which brokers agree: by queue."""
        if not deliveries:
            return
        queues = {queue for queue, _ in deliveries}
        group = max(event[2] for _, event in deliveries)
        for queue in sorted(queues):
            for name, event in deliveries:
                consumer, tag = self.aliases.show(event[1]), event[2]
                if name == queue and consumer not in watch.no_ack:
                    watch.unsettled.append(Unsettled(tag, group if len(queues) > 1 else tag, queue, consumer))

    # --- cleaning ---------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Close all connections in good order and remove every queue, exchange and policy that was named."""
        for name, link in list(self.client.links.items()):
            if name != ADMIN:
                self._close(link)
                self.client.disconnect(name)
        link = self.client.links[ADMIN]
        for kind, name in self.named:
            self._delete(link, kind, name)
        for kind, name in self.policies:
            self.http.request("DELETE", f"{kind}/%2F/{name}")
        self.http.close()
        self.client.close()

    def _close(self, link: Link) -> None:
        if link.is_open and not link.is_closing:
            close = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
            link.send(method_frame(0, "connection.close", **close))
            self.client.read_until(lambda: link.is_closing or not link.is_open, "connection.close-ok")

    def _delete(self, link: Link, kind: str, name: str) -> None:
        channel = link.channel(1)
        if not channel.is_open:
            self.client.open_channel(link, 1)
        link.send(method_frame(1, f"{kind}.delete", **{kind: name}))
        answers = (f"{kind}.delete-ok", "channel.close")
        self.client.read_until(
            lambda: not link.is_open or any(event.name in answers for event in channel.events),
            f"deletion of {name}",
        )
        channel.events.clear()
