"""What every test shares: the rule that docs/compatibility.md claims nothing that this run does not show."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from tests.row_marks import RowMarks

# Speed is measured in `bench`: a busy machine is no reason for a test to fail.
settings.register_profile("pillarbox", deadline=None)
settings.load_profile("pillarbox")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rows", metavar="FILE", help="write the tests that prove each row of docs/compatibility.md"
    )
    parser.addoption("--at-most", metavar="N", type=int, help="refuse to run more tests than these")
    parser.addoption(
        "--second-try",
        action="store_true",
        help="refuse to run unless tests failed in a whole run just before",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    most = session.config.getoption("--at-most")
    if most is not None and len(session.items) > most:
        raise pytest.UsageError(f"{len(session.items)} tests are more than {most}")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions by their names: pytest-xdist needs the same names in every worker, addresses differ."""
    return getattr(val, "__name__", None) if callable(val) else None


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Begun in the background of a script: programs that tests stop by Ctrl-C would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(RowMarks(config), "row-marks")
