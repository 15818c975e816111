"""Headers of messages: from SEND to MESSAGE and back, by way of the neutral form as AMQP keeps it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.dialects import Neutral
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.dialect import DIALECT
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.headers import FIELDS, OF_THE_DELIVERY, OF_THE_FRAME, from_neutral, to_neutral

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
own_names = texts.filter(lambda text: text and text not in FIELDS.keys() | OF_THE_FRAME | OF_THE_DELIVERY)
values: dict[str, st.SearchStrategy[str]] = {
    "persistent": st.just("true"),
    "priority": st.integers(0, 255).map(str),
    "timestamp": st.integers(0, (1 << 63) - 1).map(str),
}
of_fields = st.fixed_dictionaries(
    {}, optional={name: values.get(name, texts.filter(bool)) for name in FIELDS}
)


def passed_on(said: Neutral) -> Neutral:
    """What somebody reads of it when it was kept."""
    message = Message(Address("amqp091", "", "q"), b"", b"", 0)
    kept = DIALECT.write(said, message)
    return DIALECT.read(Message(message.address, kept, b"", 0))


@given(of_fields, st.dictionaries(own_names, texts, max_size=5))
@pytest.mark.row("A6", "A7", "R142")
def test_what_send_says_message_says(fields: dict[str, str], own: dict[str, str]) -> None:
    said = fields | own
    assert dict(from_neutral(passed_on(to_neutral(said)))) == said


@given(
    st.dictionaries(
        own_names,
        st.one_of(
            st.booleans(),
            st.integers(-(1 << 31), (1 << 31) - 1),
            texts,
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=5,
    )
)
@pytest.mark.row("A6", "R142")
def test_values_of_other_protocols_are_shown_as_text(own: dict[str, Any]) -> None:
    shown = dict(from_neutral(passed_on(Neutral(headers=own))))
    assert shown.keys() == own.keys()
    for name, value in own.items():
        if isinstance(value, bool):
            assert shown[name] == ("true" if value else "false")
        else:
            assert type(value)(shown[name]) == value


@pytest.mark.row("A6")
def test_what_has_no_form_in_stomp_is_left_out() -> None:
    headers = {"list": [1], "table": {"a": 1}, "null": None, "bytes": b"\xff", "text": wire.LongString(b"ok")}
    assert dict(from_neutral(Neutral(headers=headers))) == {"text": "ok"}


@pytest.mark.row("A6", "A10")
def test_header_of_a_message_cannot_pass_for_one_of_the_broker() -> None:
    headers: dict[str, Any] = dict.fromkeys((*OF_THE_DELIVERY, "content-type", ""), "forged")
    assert dict(from_neutral(Neutral(headers=headers))) == {}


@pytest.mark.parametrize("name", ["priority", "timestamp"])
@pytest.mark.parametrize("value", ["", "-1", "1.5", "x", "٣", "1" * 30])
@pytest.mark.row("A10")
def test_numbers_are_whole_and_in_range(name: str, value: str) -> None:
    with pytest.raises(StompError, match=r"whole number|at most|too large"):
        to_neutral({name: value})


@pytest.mark.row("T12", "A7")
def test_message_is_transient_unless_it_says_otherwise() -> None:
    assert not to_neutral({}).persistent
    assert not to_neutral({"persistent": "false"}).persistent
    assert to_neutral({"persistent": "true"}).persistent
