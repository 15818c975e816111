"""Wills: what is published for clients that go without a word, at once or after a while.

Source: MQTT 5.0, 3.1.2.5, 3.1.3.2.2.
"""

from __future__ import annotations

import logging
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.broker.outside import Undecided
from pillarbox.broker.session import Session
from pillarbox.errors import BrokerError
from pillarbox.protocols.mqtt.inbound import looked_at, message_of, retain, target_of
from pillarbox.protocols.mqtt.packets import Publish, Will

if TYPE_CHECKING:
    from pillarbox.protocols.mqtt.head import Head
    from pillarbox.protocols.mqtt.sessions import ClientSession

_log = logging.getLogger("pillarbox.mqtt")


class Pending(NamedTuple):
    """A will that waits."""

    due_ms: int
    will: Will
    session: Session
    state: ClientSession


class Wills:
    """See the module: those of all clients."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._pending: dict[ClientSession, Pending] = {}
        self._due: list[tuple[int, int, Pending]] = []
        """A heap; those whose clients have come back are not pending any more."""
        self._order = count()

    def __repr__(self) -> str:
        return f"<Wills pending={len(self._pending)}>"

    def left(self, state: ClientSession, session: Session, will: Will) -> None:
        """A client has gone without a word: publish its will, or wait as long as it wanted, and no longer
        than its session lives."""
        delay_s = min(will.properties.get("will_delay_interval", 0), state.expiry_s)
        if not delay_s:
            self._publish(session, will)
            return
        core = self._head.core
        due_ms = core.changes.now_ms + delay_s * 1000
        pending = self._pending[state] = Pending(due_ms, will, session, state)
        heappush(self._due, (due_ms, next(self._order), pending))
        core.scheduler.at(due_ms, self)

    def returned(self, state: ClientSession) -> None:
        """The client is back in time: nobody hears of it."""
        self._pending.pop(state, None)

    def session_ended(self, state: ClientSession) -> None:
        """Its session is over, so the will does not wait any longer."""
        pending = self._pending.pop(state, None)
        if pending is not None:
            self._publish(pending.session, pending.will)

    def forget(self, state: ClientSession) -> None:
        """Its virtual host is gone: there is nobody to hear of it."""
        self._pending.pop(state, None)

    def on_timer(self, now_ms: int) -> None:
        while self._due and self._due[0][0] <= now_ms:
            pending = heappop(self._due)[2]
            if self._pending.get(pending.state) is pending:
                del self._pending[pending.state]
                self._publish(pending.session, pending.will)

    def _publish(self, session: Session, will: Will) -> None:
        publish = Publish(
            topic=will.topic,
            payload=will.payload,
            qos=will.qos,
            retain=will.retain,
            properties=will.properties,
        )
        try:
            target = target_of(session, will.topic)
            message = message_of(publish, target, self._head.core.changes.now_ms)
            if target.route.per_message:
                target = looked_at(session, target, message)
            target.publish(self._head.core, message)
            if will.retain:
                retain(self._head, session, publish, message)
        except Undecided as undecided:
            outside = self._head.core.users.outside
            outside.when_answered(undecided, lambda: self._publish(session, will))
        except BrokerError as error:
            _log.warning("the will of %s is not published: %s", session.describe(), error.text)
