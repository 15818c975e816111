"""One subscription: which consumer it is, how it acknowledges, and how its MESSAGE frames begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.stomp.destinations import TOPICS, VIRTUAL_CONSUMER, shown
from pillarbox.protocols.stomp.headers import as_activemq, from_neutral, moments
from pillarbox.protocols.stomp.wire import V10, V11, V12, write_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.dialects import Dialects
    from pillarbox.broker.selectors import Selector
    from pillarbox.engine.base import Message

AUTO, CLIENT, INDIVIDUAL = "auto", "client", "client-individual"
ACK_MODES: Final = (AUTO, CLIENT, INDIVIDUAL)

HEADS_MAX = 1024
"""Heads of frames that a subscription keeps, one for each address and list of properties that differ."""
HEAD_BYTES_MAX = 1024
"""Longer ones are written each time: nobody repeats them."""

SEPARATOR = "@@"
"""Between the three parts of a message id: subscription, session, number of the delivery."""
DIGITS_MAX = 18
"""Of that number: more would be none of ours."""

ID_OF_ACK: Final = {V10: "message-id", V11: "message-id", V12: "id"}
"""The header of ACK and NACK that says which delivery is meant."""

REDELIVERED: Final = {False: b"redelivered:false\n", True: b"redelivered:true\n"}


class Subscription:
    """See the module. `tag`: RabbitMQ's name for it, `T_` and its id, or `Q_` and its destination."""

    def __init__(self, tag: str, identity: str | None, destination: str, ack: str) -> None:
        self.tag = tag
        self.identity = identity
        """The client's own name for it; None: it gave none."""
        self.destination = destination
        self.ack = ack
        self.version = V12
        self._virtual_queue = ""
        """The destination of its queue, if that is one of a virtual topic."""
        self.acks = False
        """Its deliveries have a header of their own by which STOMP 1.2 acknowledges them."""
        self._id_start = ""
        """What stands in front of a delivery's number in its id."""
        self.matches: Callable[[str], object] | None = None
        """Whether a queue is one of those that it reads, if its destination stands for several."""
        self.is_activemq = False
        """Its messages have the headers of ActiveMQ's."""
        self.browses = False
        """It is shown messages and takes none."""
        self.selector: Selector | None = None
        """What messages have to meet; those that do not are none of this subscription."""
        self.transform: Callable[[Message], Message] | None = None
        """What puts a message into the form that it asks for (see `transforming`)."""
        self.looks = False
        """It has either: its messages are looked at one by one."""
        self._heads: dict[tuple[object, bytes, int], tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"<Subscription {self.tag!r} to {self.destination!r} ack={self.ack}>"

    def select(self, text: str) -> None:
        """Want only what meets a selector. Raises BrokerError if that is none."""
        from pillarbox.broker.selectors import compile_selector

        self.selector = compile_selector(text)
        self.looks = True

    def have_transformed(self, transform: Callable[[Message], Message] | None) -> None:
        """Get messages in another form, if there is one."""
        self.transform = transform
        self.looks = self.selector is not None or transform is not None

    def wants(self, message: Message, dialects: Dialects) -> bool:
        """Does a message meet the selector, which there is?"""
        from pillarbox.broker.selectors import lookup_of

        assert self.selector is not None
        return self.selector(lookup_of(dialects.said(message)))

    def begin(self, consumer: Consumer, session: str, version: str, *, is_activemq: bool) -> None:
        """Get ready to write what this consumer receives, under this name of the session."""
        name = consumer.queue.name
        if is_activemq and name.startswith(VIRTUAL_CONSUMER):
            self._virtual_queue = shown("", name, slashes=True)
        self.start(session, version, is_activemq=is_activemq)

    def start(self, session: str, version: str, *, is_activemq: bool) -> None:
        """Get ready to write MESSAGE frames."""
        self.is_activemq = is_activemq
        self.version = version
        self.acks = version == V12 and self.ack != AUTO
        self._id_start = f"{self.tag}{SEPARATOR}{session}{SEPARATOR}"

    def ack_forms(self) -> Iterator[tuple[bytes, bytes]]:
        """What stands in the head of an ACK in front of the separator and number of a delivery, and what
        behind: one for each way in which clients write it."""
        if self.ack == AUTO or self.browses:
            return
        name = ID_OF_ACK[self.version]
        start = self._header(name, self._id_start.removesuffix(SEPARATOR))
        yield b"ACK\n" + start, b""
        if self.identity is not None:
            named = self._header("subscription", self.identity)
            yield b"ACK\n" + start, named
            yield b"ACK\n" + named + b"\n" + start, b""

    def _header(self, name: str, value: str) -> bytes:
        return write_headers(((name, value),), self.version).removesuffix(b"\n")

    def form_of(self, message: Message, dialects: Dialects, *, redelivered: bool) -> bytes:
        """How the MESSAGE frame begins, up to its body: `%d` stands for the number of the delivery, for the
        same once more if it has `acks`, and for the size of the body."""
        key = (message.address, message.properties, message.expiration_ms)
        before, own = self._heads.get(key) or self._head_of(message, dialects)
        if self.is_activemq:
            own += moments(message, own)
        return before + REDELIVERED[redelivered] + own + b"content-length:%d\n\n"

    def _head_of(self, message: Message, dialects: Dialects) -> tuple[bytes, bytes]:
        """The parts of that in front of `redelivered` and behind; kept for those that are alike."""
        address = message.address
        destination = shown(address.exchange, address.routing_key, slashes=self.is_activemq)
        origin = ""
        if self._virtual_queue and address.exchange == TOPICS:
            # ActiveMQ sends what is for a virtual topic on to its queues.
            destination, origin = self._virtual_queue, destination
        told = [("destination", destination)]
        if self.identity is not None:
            told.insert(0, ("subscription", self.identity))
        said = dialects.said(message)
        pairs = from_neutral(said, message.expiration_ms)
        if self.is_activemq:
            pairs = as_activemq(pairs, said, origin)
        own = write_headers(pairs, self.version)
        before = b"MESSAGE\n" + write_headers(told, self.version)
        numbers = [self._header(name, self._id_start) for name in ("message-id", "ack")[: 1 + self.acks]]
        head = (
            _literal(before) + b"".join([_literal(number) + b"%d\n" for number in numbers]),
            _literal(own),
        )
        if len(own) <= HEAD_BYTES_MAX:
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[message.address, message.properties, message.expiration_ms] = head
        return head


def _literal(text: bytes) -> bytes:
    """The same within a form."""
    return text.replace(b"%", b"%%")
