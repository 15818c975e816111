"""The house's rules that an import graph cannot show, read from the source itself.

import-linter checks who imports whom (`make check`). Here: the domain has no `async def`, lock, clock, socket
or file; the time is read in one module, files are opened and synced in one module, and only `net/` writes to
a transport.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "pillarbox"
SOURCES = sorted(PACKAGE.rglob("*.py"))

TIME_READERS = {"clock.py"}
FILE_OPENERS = {"store/files.py", "ops/cli/files.py"}
"""The broker's files, and those of an operator beside it."""
OPENERS = {"open", "fdopen", "fsync", "fdatasync", "mkstemp", "TemporaryFile", "NamedTemporaryFile"}
FILE_MODULES = ("", "os", "io", "tempfile")
"""Who is called to open a file: the builtin, a module, a path; `files.open(...)` is the seam itself."""
LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"}
OUTSIDE_THE_DOMAIN = {
    *("asyncio", "concurrent", "io", "multiprocessing", "os", "pathlib", "queue", "select", "selectors"),
    *("shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "uvloop"),
}
WIRE_MAY_IMPORT = ("pillarbox.protocols.octets", "pillarbox.errors")
"""A codec knows bytes, and the error that says that a peer's bytes are wrong."""


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, also within functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield (owner, name, line) of every call: `os.open(...)` is ("os", "open", line)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield "", function.id, node.lineno
            elif isinstance(function, ast.Attribute):
                yield ast.unparse(function.value), function.attr, node.lineno


def offences(sources: list[Path], offends: Callable[[Path], Iterator[str]]) -> list[str]:
    return [f"{relative(path)}: {what}" for path in sources for what in offends(path)]


DOMAIN = [path for path in SOURCES if relative(path).startswith("broker/")]


def test_domain_is_synchronous() -> None:
    def offends(path: Path) -> Iterator[str]:
        asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
        return (f"line {node.lineno}" for node in ast.walk(tree(path)) if isinstance(node, asynchronous))

    assert DOMAIN
    assert offences(DOMAIN, offends) == []


def test_domain_imports_no_clock_socket_file_thread_or_protocol() -> None:
    def offends(path: Path) -> Iterator[str]:
        upper = ("pillarbox.protocols", "pillarbox.net")
        return (
            name
            for name in imported(path)
            if name.split(".")[0] in OUTSIDE_THE_DOMAIN or name.startswith(upper)
        )

    assert offences(DOMAIN, offends) == []


def test_domain_holds_no_lock_and_opens_no_file() -> None:
    def offends(path: Path) -> Iterator[str]:
        return (f"line {line}: {name}" for _, name, line in called(path) if name in LOCKS | OPENERS)

    assert offences(DOMAIN, offends) == []


def test_time_is_read_in_one_module() -> None:
    """So that a manual clock governs everything."""

    def offends(path: Path) -> Iterator[str]:
        return (name for name in imported(path) if name.split(".")[0] in ("time", "datetime"))

    others = [path for path in SOURCES if relative(path) not in TIME_READERS]
    assert offences(others, offends) == []


def test_files_are_opened_and_synced_in_one_module() -> None:
    """So that tests can record and fail every file operation. Reading a text whole (settings) is none."""

    def offends(path: Path) -> Iterator[str]:
        for owner, name, line in called(path):
            if name in OPENERS and (owner in FILE_MODULES or owner.startswith("Path(")):
                yield f"line {line}: {owner}.{name}"

    others = [path for path in SOURCES if relative(path) not in FILE_OPENERS]
    assert offences(others, offends) == []


def test_only_transports_folder_writes_to_a_transport() -> None:
    def offends(path: Path) -> Iterator[str]:
        for owner, name, line in called(path):
            if name in ("write", "writelines") and owner.split(".")[-1].strip("_") == "transport":
                yield f"line {line}: {owner}.{name}"

    # The HTTP server's own protocol, extended there, is what `net.driver` is for brokers' protocols.
    homes = ("net/", "ops/management/uvicorn_server.py")
    others = [path for path in SOURCES if not relative(path).startswith(homes)]
    assert offences(others, offends) == []


def test_codecs_import_nothing_but_the_standard_library_and_octets() -> None:
    def offends(path: Path) -> Iterator[str]:
        for node in ast.walk(tree(path)):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for module in modules:
                own_folder = module.startswith(f"pillarbox.protocols.{path.parent.name}.wire")
                standard = module.split(".")[0] in sys.stdlib_module_names
                if (
                    not standard
                    and not own_folder
                    and module not in (*WIRE_MAY_IMPORT, "pillarbox.protocols")
                ):
                    yield module

    wires = [path for path in SOURCES if relative(path).startswith("protocols/") and path.stem == "wire"]
    if not wires:
        pytest.skip("there is no codec yet")
    assert offences(wires, offends) == []
