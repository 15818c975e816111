"""The quick ways mean what their slow, obvious twins mean: same output, state, and error at the same frame.

Quick are SENDs that are alike, ACKs that are written as usual or count on, and MESSAGE frames that are
formatted. Two brokers are told the same; one reads frame by frame, looks every head up, and writes header by
header.

Source: DESIGN, "hot loops ... carry a benchmark and a slow, obvious twin in the tests".
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pillarbox.protocols.stomp.connection import Connection
from tests.protocols.stomp.rig import NOW_MS, without_socket
from tests.protocols.stomp.twin import TwinChannel, TwinScanner

SESSION = "session-AAAAAAAAAAAAAAAAAAAAAA"
"""Where nothing is random."""


def connected(version: str, *, is_activemq: bool = False, slow: bool = False) -> Connection:
    connection = without_socket(is_activemq=is_activemq)
    if slow:
        connection._scanner = TwinScanner()
    connection.receive(f"CONNECT\naccept-version:{version}\n\n\0".encode())
    if slow:
        assert connection.channel is not None
        connection.channel.__class__ = TwinChannel
    return connection


def turn(connection: Connection, data: bytes, cuts: list[int]) -> bytes:
    """Tell the connection this, in pieces, and end the turn; return what it answers."""
    edges = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    for start, stop in pairwise(edges):
        connection.receive(data[start:stop])
    core = connection.core
    for _ in range(4):
        core.tick(NOW_MS)
    core.synced(core.journal_ticket)
    return b"".join(connection.take_output())


def state(connection: Connection) -> object:
    """What came of it all: queues, what is out, what was counted."""
    channel, core = connection.channel, connection.core
    assert channel is not None
    queues = {
        name: (queue.ready_count, queue.ready_bytes, queue.unacked_count, queue.unacked_bytes)
        for name, queue in core.vhosts["/"].queues.items()
    }
    counters = [getattr(channel.counters, name) for name in channel.counters.__slots__]
    out = [
        entry.base + place for entry in channel.ledger.entries() for place in range(entry.start, entry.stop)
    ]
    memory = core.changes.resident_bytes, core.sizes.counts
    return connection.state, queues, counters, out, channel.receipts.owed(), memory


def frame(command: str, headers: list[str], body: bytes = b"") -> bytes:
    return "".join(f"{line}\n" for line in (command, *headers, "")).encode() + body + b"\0"


SENT = frame("SEND", ["destination:/queue/a%d"], b"x") * 5

HEADERS = (
    "colour:blue%d",
    "persistent:true",
    "priority:7",
    "receipt:r%",
    "receipt: s# ",
    "receipt:#",
    "expiration:1000",
    "expires:1700000001000",
    "a:b\r",
    "AMQ_SCHEDULED_DELAY:100",
    "transaction:t",
)
GAPS = st.sampled_from([b"", b"", b"", b"\n", b"\r\n"])
SUBSCRIPTIONS = ("0", "%s@@x")


@st.composite
def sends(draw: st.DrawFn) -> bytes:
    """Some SENDs with the same head, but for their size."""
    headers = [f"destination:/queue/{draw(st.sampled_from('ab'))}%d"]
    headers += draw(st.lists(st.sampled_from(HEADERS), max_size=2))
    gap, sized = draw(GAPS), draw(st.booleans())
    out = b""
    for place, body in enumerate(
        draw(st.lists(st.sampled_from([b"", b"x", b"yy", b"\nz", b"a\0b"]), max_size=6))
    ):
        own = [f"content-length:{len(body)}"] if sized or 0 in body else []
        numbered = [line.replace("#", str(place)) for line in headers]
        out += frame("SEND", [*numbered, *own], body) + gap
    return out


@st.composite
def acks(draw: st.DrawFn, version: str) -> bytes:
    """Some ACKs, which mostly count on."""
    identity = draw(st.sampled_from(("0", *SUBSCRIPTIONS)))
    named = f"subscription:{identity}"
    name = "id" if version == "1.2" else "message-id"
    wrong = draw(st.sampled_from([*[""] * 7, "x", "0", "_"]))
    before, behind = draw(
        st.sampled_from(
            [([], []), ([named], []), ([], [named]), ([], ["receipt:k"]), (["a:1@@1"], ["b:@@2"])]
        )
    )
    command = draw(st.sampled_from(["ACK", "ACK", "ACK", "NACK"]))
    first, step = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 1, 1, 2, -1, 0]))
    gap = draw(GAPS)
    out = b""
    for place in range(draw(st.integers(1, 5))):
        own = f"{name}:T_{identity}@@{SESSION}@@{wrong}{first + place * step}"
        out += frame(command, [*before, own, *behind]) + gap
    return out


def subscribes(version: str) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda identity, queue, ack, more: frame(
            "SUBSCRIBE", [f"id:{identity}", f"destination:/queue/{queue}%d", f"ack:{ack}", *more]
        ),
        st.sampled_from(SUBSCRIPTIONS),
        st.sampled_from("ab"),
        st.sampled_from(["auto", "client", "client", "client-individual", "client-individual"]),
        st.sampled_from([[], [], [], ["selector:colour = 'blue%d'"], ["prefetch-count:3"], ["browser:true"]]),
    )


def others() -> st.SearchStrategy[bytes]:
    return st.sampled_from(
        [
            *(frame("UNSUBSCRIBE", [f"id:{identity}"]) for identity in SUBSCRIPTIONS),
            *(frame(command, ["transaction:t"]) for command in ("BEGIN", "COMMIT", "ABORT")),
            b"\n\n",
            frame("DISCONNECT", ["receipt:last"]),
        ]
    )


@st.composite
def sessions(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A version, and what its client says in some turns; to begin with, it has some deliveries."""
    version = draw(st.sampled_from(["1.2", "1.2", "1.1", "1.0"]))
    modes = draw(st.lists(st.sampled_from(["client", "client-individual"]), min_size=1, max_size=2))
    began = b"".join(
        frame("SUBSCRIBE", [f"id:{identity}", "destination:/queue/a%d", f"ack:{mode}"])
        for identity, mode in zip(SUBSCRIPTIONS, modes, strict=False)
    )
    said = st.one_of(
        sends(), sends(), acks(version), acks(version), acks(version), subscribes(version), others()
    )
    turns = draw(st.lists(st.lists(said, max_size=4), max_size=5))
    return version, [began, SENT * 3, *(b"".join(one) for one in turns)]


OUT = frame("SUBSCRIBE", ["id:0", "destination:/queue/a%d", "ack:client-individual"]) + SENT
ACKED = b"".join(frame("ACK", [f"id:T_0@@{SESSION}@@{tag}"]) for tag in range(1, 8))

LEFT = frame("UNSUBSCRIBE", ["id:0"])


@settings(max_examples=300, deadline=None)
@example(("1.2", [OUT, ACKED]), [], False)
@example(("1.2", [SENT + OUT, ACKED + SENT]), [70], True)
@example(("1.2", [OUT.replace(b"-individual", b""), LEFT + ACKED[-100:]]), [], False)
@given(sessions(), st.lists(st.integers(0, 3000), max_size=4), st.booleans())
@pytest.mark.row("A1", "A3", "A4", "A6")
def test_quick_ways_mean_what_the_twins_mean(
    session: tuple[str, list[bytes]], cuts: list[int], is_activemq: bool
) -> None:
    version, turns = session
    quick = connected(version, is_activemq=is_activemq)
    slow = connected(version, is_activemq=is_activemq, slow=True)
    for data in turns:
        assert turn(quick, data, cuts) == turn(slow, data, cuts)
        assert state(quick) == state(slow)


@pytest.mark.row("A1", "A3")
def test_what_is_alike_is_taken_wherever_the_input_ends() -> None:
    data = OUT + frame("SEND", ["destination:/queue/a%d", "content-length:3"], b"a\0b") * 3 + SENT
    slow = connected("1.2", slow=True)
    expected = [turn(slow, data, []), turn(slow, ACKED, [])]
    for cut in range(len(data)):
        quick = connected("1.2")
        assert [turn(quick, data, [cut]), turn(quick, ACKED, [cut])] == expected
        assert state(quick) == state(slow)
