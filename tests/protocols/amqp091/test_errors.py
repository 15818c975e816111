"""Reply codes: RabbitMQ's names and consequences, and every reason of the domain has one."""

from __future__ import annotations

import pytest
from pamqp import exceptions

from pillarbox.errors import Reason
from pillarbox.protocols.amqp091.errors import REASONS, REPLY_CODES

CLOSING = sorted(exceptions.CLASS_MAPPING)


@pytest.mark.row("311", "402", "506")
@pytest.mark.parametrize("code", CLOSING)
def test_reply_code_has_the_name_and_the_reach_of_the_specification(code: int) -> None:
    """AMQP 0-9-1, 1.2 constants: a soft error closes the channel, a hard one the connection.

    402 and 506 are never sent, as in RabbitMQ: nothing that can happen has one of them.
    """
    known = exceptions.CLASS_MAPPING[code]
    name, hard = REPLY_CODES[code]
    assert name.replace("_", "-") == known.name
    assert hard == issubclass(known, exceptions.AMQPHardError)


def test_every_reason_of_the_domain_has_a_code() -> None:
    assert set(REASONS) == set(Reason)
    assert set(REASONS.values()) <= set(REPLY_CODES)
