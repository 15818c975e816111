"""A pytest plugin that keeps docs/compatibility.md true: what a line calls done has passed in this very run.

Purpose: collect the `row` marks of all tests and the outcomes of the tests that carry them. A mark that
names no line of the page stops the run. At the end of a full run (no paths, no `-k`, `-m`, `--lf`), a line
called done without a passing test, or with a failing one, fails the run. `--rows FILE` writes which tests
carry which marks, for `make docs`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from scripts.docs import COMPATIBILITY, Row, compatibility_rows

ONLY_TESTS_FAILED = "pillarbox/only_tests_failed"
"""In pytest's cache: the whole suite ran to its end, and nothing was wrong but tests that failed."""
PROPERTY = "rows"
"""Marks do not travel from pytest-xdist's workers to the controller; user properties do."""


def row_ids(item: pytest.Item) -> list[str]:
    return sorted({row for mark in item.iter_markers("row") for row in mark.args})


def claims(rows: list[Row], passed: dict[str, set[str]], failed: dict[str, set[str]]) -> list[str]:
    """Return one sentence for each line called done that this run does not bear out."""
    sentences = []
    for row in rows:
        if row.done and failed[row.id]:
            sentences.append(f"{row.id} is called done, but failed: {', '.join(sorted(failed[row.id]))}")
        elif row.done and not passed[row.id]:
            sentences.append(f"{row.id} is called done, but no test of it has passed")
    return sentences


class RowMarks:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows = compatibility_rows(COMPATIBILITY.read_text())
        self.passed: dict[str, set[str]] = defaultdict(set)
        self.failed: dict[str, set[str]] = defaultdict(set)
        self.tests_by_row: dict[str, list[str]] = defaultdict(list)
        self.files: set[Path] = set()
        """From which tests were collected, before any were deselected."""
        self.deselected = False
        self.sentences: list[str] = []

    @property
    def runs_everything(self) -> bool:
        """Whether nothing was asked for but the whole suite, on the process that sees all outcomes."""
        option = self.config.option
        return (
            self.config.args_source is pytest.Config.ArgsSource.TESTPATHS
            and not self.deselected
            and not option.collectonly
            and not option.lf
            and not hasattr(self.config, "workerinput")
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        known = {row.id for row in self.rows}
        self.files = {item.path for item in items}
        for item in items:
            ids = row_ids(item)
            if unknown := set(ids) - known:
                raise pytest.UsageError(
                    f"{item.nodeid}: docs/compatibility.md has no row {', '.join(unknown)}"
                )
            item.user_properties.append((PROPERTY, ids))
            for row in ids:
                self.tests_by_row[row].append(item.nodeid)
        if out := self.config.getoption("--rows"):
            Path(out).write_text(json.dumps(self.tests_by_row))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected = bool(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = (
            self.failed if report.failed else self.passed if report.passed and report.when == "call" else None
        )
        if outcome is not None:
            for row in dict(report.user_properties).get(PROPERTY, ()):
                outcome[row].add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        whole = self.runs_everything and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if whole and not session.shouldstop and not session.shouldfail:
            self.sentences = claims(self.rows, self.passed, self.failed)
            if self.sentences:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            seen = defaultdict(set, {row.id: self.passed[row.id] | self.failed[row.id] for row in self.rows})
            unproven = claims(self.rows, seen, defaultdict(set))
            self._keep(exitstatus == pytest.ExitCode.TESTS_FAILED and not unproven)

    @property
    def _cache(self) -> pytest.Cache | None:
        """None: the run is to have none."""
        return getattr(self.config, "cache", None)

    def _keep(self, only_tests_failed: bool) -> None:
        """For a second try (`--second-try`); every other run begins without it, whatever becomes of it."""
        if self._cache is not None:
            self._cache.set(ONLY_TESTS_FAILED, only_tests_failed)

    def pytest_sessionstart(self) -> None:
        if self.config.getoption("--second-try"):
            if self._cache is None or not self._cache.get(ONLY_TESTS_FAILED, False):
                raise pytest.UsageError("the run before was not whole, or more was wrong than failing tests")
        elif not hasattr(self.config, "workerinput"):
            self._keep(False)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.sentences:
            terminalreporter.section("docs/compatibility.md claims too much")
            for sentence in self.sentences:
                terminalreporter.line(sentence)
