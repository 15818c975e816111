"""`__transaction_state`: when it is there, and that it has each state of each transactional id."""

from __future__ import annotations

from pathlib import Path
from struct import unpack_from

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.internal_topics import TRANSACTIONS
from pillarbox.protocols.kafka.transactions_topic import STATES, Shown, transaction_record
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.party import Party
from tests.protocols.kafka.test_offsets_topic import listed, make, records_of

NAMES = {number: name for name, number in STATES.items()}


def states(client: Asking, count: int) -> list[tuple[str, str | None]]:
    """So many of the topic's records: transactional id and state."""
    return [
        (key[4:].decode(), None if value is None else NAMES[value[16]])
        for key, value in records_of(client, TRANSACTIONS, count)
    ]


@pytest.mark.row("K38")
def test_the_topic_is_there_when_there_is_a_transaction_and_somebody_looks() -> None:
    with Broker(kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t")
        assert listed(client) == {"t": False}
        Party(client, "one", "t").begin()
        assert listed(client) == {"t": False, TRANSACTIONS: True}
        assert states(client, 1) == [("one", "Empty")]


@pytest.mark.row("K38")
def test_every_state_is_a_record_and_all_are_there_again_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    running = Broker(data=tmp_path, kafka_port=0, clock=clock)
    with running as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t", 2)
        party = Party(client, "one", "t")
        party.begin()
        listed(client)
        party.join()
        party.join()
        party.send(b"x")
        party.end()
        party.join(index=1)
        party.end(commit=False)
        expected = [("one", state) for state in ("Empty", "Ongoing", "PrepareCommit", "CompleteCommit")]
        expected += [("one", state) for state in ("Ongoing", "PrepareAbort", "CompleteAbort")]
        assert states(client, 7) == expected
    running = Broker(data=tmp_path, kafka_port=0, clock=clock)
    with running as broker, Asking(broker.kafka_bootstrap) as client:
        listed(client)
        assert states(client, 8) == [*expected, ("one", "CompleteAbort")]
        broker.call(lambda server: server.clock.advance("8d"))
        assert states(client, 9)[-1] == ("one", None)


@pytest.mark.row("K38")
def test_key_and_value_of_a_transaction_are_laid_out_as_kafka_does_it() -> None:
    places = [("t", 1), ("t", 0), ("s", 2)]
    key, value = transaction_record("id", Shown(5, 2, 60_000, "Ongoing", places, 1000, 900))
    assert key.hex() == "0000" + "0002" + b"id".hex()
    assert value is not None
    assert value.hex() == "".join(
        (
            "0001" + f"{5:016x}" + "0002" + f"{60_000:08x}" + "01",
            "03" + "02" + b"s".hex() + "02" + "00000002" + "00",
            "02" + b"t".hex() + "03" + "00000000" + "00000001" + "00",
            f"{1000:016x}" + f"{900:016x}" + "00",
        )
    )
    assert transaction_record("id", None) == (key, None)


@pytest.mark.row("K38")
def test_an_empty_one_has_no_partitions_and_one_that_goes_on_under_another_id_says_so() -> None:
    _, value = transaction_record("id", Shown(5, 2, 1, "Empty", [], 1000, 0))
    assert value is not None
    assert value[17:].hex() == "00" + f"{1000:016x}" + "ff" * 8 + "00"
    _, value = transaction_record("id", Shown(5, 2, 1, "PrepareAbort", [], 1000, 900, (6, 0)))
    assert value is not None
    assert unpack_from(">B", value, 17) == (1,)
    assert value[34:].hex() == "02" + "01" + "08" + f"{6:016x}" + "03" + "02" + "0000"
