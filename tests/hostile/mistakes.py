"""Defects for tests: a method that makes a mistake once, and what the log has to say of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest


class Mistake(Exception):
    """What the tests let happen."""


def fails_where(monkeypatch: pytest.MonkeyPatch, kind: type, method: str, meant: Callable[..., bool]) -> None:
    """Have a method make a mistake the first time it is called for something that is meant."""
    before = getattr(kind, method)
    made: list[None] = []

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        if not made and meant(self, *arguments, **named):
            made.append(None)
            raise Mistake
        return before(self, *arguments, **named)

    monkeypatch.setattr(kind, method, wrapped)


def demand_one_report(caplog: pytest.LogCaptureFixture) -> None:
    """One connection has ended, with a traceback, and nothing else was wrong."""
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in faults] == ["a connection ends because of a defect"]
    assert faults[0].exc_info is not None
    assert faults[0].exc_info[0] is Mistake
