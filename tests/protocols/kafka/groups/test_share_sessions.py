"""Share sessions by themselves: how many there may be, and what ends them (row K56)."""

from __future__ import annotations

import pytest

from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.share_sessions import EPOCH_MAX, SESSIONS_MAX, ShareSessions

pytestmark = pytest.mark.row("K56")


def test_there_are_no_more_than_two_thousand_sessions() -> None:
    sessions = ShareSessions(lambda group, member: None)
    for number in range(SESSIONS_MAX):
        sessions.begin(("g", str(number)), object())
    with pytest.raises(Refused) as refused:
        sessions.begin(("g", "late"), object())
    assert refused.value.code is ErrorCode.SHARE_SESSION_LIMIT_REACHED
    sessions.begin(("g", "0"), object())
    sessions.end(("g", "1"))
    sessions.begin(("g", "late"), object())
    assert len(sessions) == SESSIONS_MAX


def test_epochs_begin_anew_after_the_last() -> None:
    sessions = ShareSessions(lambda group, member: None)
    session = sessions.begin(("g", "m"), object())
    session.epoch = EPOCH_MAX
    assert sessions.next(("g", "m"), EPOCH_MAX).epoch == 1


def test_connections_end_their_sessions_and_free_what_is_held_unless_the_broker_has_closed_them() -> None:
    freed: list[tuple[str, str]] = []
    sessions = ShareSessions(lambda group, member: freed.append((group, member)))
    lost, closed = object(), object()
    for member, connection in (("a", lost), ("b", lost), ("c", closed), ("a", closed)):
        sessions.begin(("g", member), connection)
    sessions.forget(lost, release=True)
    assert freed == [("g", "b")], "a has come again on the other one"
    sessions.forget(closed, release=False)
    assert (freed, len(sessions)) == ([("g", "b")], 0)
    sessions.end(("g", "a"))
    assert freed == [("g", "b")]
