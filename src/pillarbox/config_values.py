"""How the values of settings are written: in files, in the environment, on a command line, in the manual.

A `Kind` is one sort of value, with a parser from text to what the program uses and a function that shows it.

Not here: which settings there are (`config`), and where they are read from (`config_sources`).
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pillarbox.clock import duration_ms

PORT_MAX = 65_535
"""TCP knows no larger port number."""

OFF = -1
"""The port of a listener that there shall not be; written `off`."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_WATERMARK = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    **{prefix + end: 1024**n for n, prefix in enumerate("kmgt", 1) for end in ("", "i", "ib")},
    **{prefix + "b": 1000**n for n, prefix in enumerate("kmgt", 1)},
}
_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
NOBODY = "none"
"""Written for no name, or an empty list of names: an empty variable reads as one that was forgotten."""


def parse_size(text: str) -> int:
    """Return bytes: `4096`, `64kB` (1000), `64KiB` or `64k` (1024), `1.5GiB`. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(text)
    factor = _SIZE_UNITS[match[2].lower()]
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def parse_watermark(text: str) -> float:
    """Return a share of the memory (`0.4`, `40%`) or bytes (`2GiB`). Raises ValueError."""
    match = _WATERMARK.fullmatch(text)
    if match is None:
        size = parse_size(text)
        if size <= 1:
            raise ValueError(text)
        return size
    share = float(match[1]) / (100 if match[2] else 1)
    if share > 1:
        if match[2] or "." in match[1]:
            raise ValueError(text)
        return int(match[1])
    return share


def show_watermark(watermark: float) -> str:
    """Write a share of the memory, or bytes, as `parse_watermark` reads it."""
    return str(watermark) if isinstance(watermark, float) else show_size(watermark)


def parse_seconds(text: str) -> int:
    """Return whole seconds: `60`, `60s`, `5m`, `2h`, `1d`, `2000ms`. Raises ValueError."""
    milliseconds = int(text) * 1_000 if text.strip().isdigit() else duration_ms(text)
    if milliseconds % 1_000:
        raise ValueError(text)
    return milliseconds // 1_000


def parse_flag(text: str) -> bool:
    """Return the truth value of `true`, `yes`, `on`, `1` or their opposites. Raises ValueError."""
    try:
        return _FLAGS[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def parse_port(text: str) -> int:
    """Return a port, or OFF for `off`. Raises ValueError."""
    return OFF if text.strip().lower() == "off" else int(text)


def show_port(port: int) -> str:
    """Write a port as `parse_port` reads it."""
    return "off" if port == OFF else str(port)


def parse_names(text: str, separator: str = ",") -> tuple[str, ...]:
    """Return the names of a comma-separated list; `none` is the empty one. Raises ValueError."""
    names = tuple(name.strip() for name in text.split(separator))
    if names == (NOBODY,):
        return ()
    if not all(names):
        raise ValueError(text)
    return names


def parse_text(text: str) -> str:
    """Return the text. Raises ValueError where there is none."""
    if not text:
        raise ValueError(text)
    return text


def show_size(size: int) -> str:
    """Write bytes as `parse_size` reads them, with the largest unit that loses nothing."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("GB", 10**9), ("MB", 10**6)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


class Kind(NamedTuple):
    """How one sort of value is written in text and in TOML, and how it is shown."""

    metavar: str
    expected: str
    examples: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    toml_type: Any
    """What TOML may hold beside text; what is not text is taken as it stands."""


TEXT = Kind("TEXT", "a text that is not empty", "", parse_text, str, str)
ADDRESS = Kind("ADDRESS", "an address, or nothing", "", str, str, str)
FOLDER = Kind("FOLDER", "the path of a folder", "", parse_text, str, str)
FILE = Kind("FILE", "the path of a file", "", str, str, str)
NAME = Kind("TEXT", "a text, or nothing", "", str, str, str)
FLAG = Kind("", "true or false", "", parse_flag, lambda flag: "true" if flag else "false", bool | str)
COUNT = Kind("NUMBER", "a whole number", "", int, str, int | str)
SIZE = Kind("SIZE", "a size", "65536, 64MB or 1GiB", parse_size, show_size, int | str)
WATERMARK = Kind(
    "SHARE|SIZE",
    "a share of the memory or a size",
    "0.4, 40% or 2GiB",
    parse_watermark,
    show_watermark,
    float | int | str,
)
SECONDS = Kind("TIME", "a time of whole seconds", "60, 90s or 5m", parse_seconds, "{}s".format, int | str)
NAMES = Kind(
    "NAMES",
    f'names with commas between them, or "{NOBODY}"',
    "",
    parse_names,
    lambda names: ",".join(names) or NOBODY,
    list[str] | str,
)


def parse_rows(text: str) -> tuple[str, ...]:
    """Return the rows of a list with semicolons; `none` is the empty one. Raises ValueError."""
    return () if text.strip() == NOBODY else parse_names(text, separator=";")


ROWS = Kind(
    "ROWS",
    f'rows with semicolons between them, or "{NOBODY}"',
    "",
    parse_rows,
    lambda rows: "; ".join(rows) or NOBODY,
    list[str] | str,
)
PORT = Kind("PORT", f'a port from 0 to {PORT_MAX}, or "off"', "", parse_port, show_port, int | str)
CHOICE = Kind("WORD", "one of", "", parse_text, str, str)
CHOICES = Kind("WORDS", "one or, with commas, more of", "", parse_text, str, str)
