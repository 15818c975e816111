"""Passwords, from where other people do not see them: a file, standard input, the terminal.

A password on the command line stands in the list of processes and in the shell's history.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pillarbox.errors import PillarboxError


class NoPassword(PillarboxError):
    """There is nowhere to have a password from."""

    exit_code = 2


def read_password(file: str) -> str:
    """The first line of a file; `-`: of standard input, without showing it where that is a terminal."""
    if file == "-":
        if sys.stdin.isatty():
            return ask("Password")
        return _line(sys.stdin.readline(), "standard input")
    try:
        return _line(Path(file).read_text(encoding="utf-8").partition("\n")[0], file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NoPassword(f"cannot read the password from {file}: {reason}") from None


def ask(prompt: str) -> str:
    """Ask at the terminal."""
    import getpass

    return getpass.getpass(f"{prompt}: ")


def ask_twice(prompt: str) -> str:
    """Ask for a new password at the terminal; without one, read a line of standard input."""
    if not sys.stdin.isatty():
        return _line(sys.stdin.readline(), "standard input")
    password = ask(prompt)
    if ask("Once more") != password:
        raise NoPassword("the two passwords differ")
    return password


def _line(text: str, source: str) -> str:
    password = text.rstrip("\r\n")
    if not password:
        raise NoPassword(f"there is no password in the first line of {source}")
    return password
