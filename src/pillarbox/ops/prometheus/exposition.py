"""The text format of Prometheus, version 0.0.4: families with their help, type and samples.

Source: Prometheus, "Exposition formats".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE, HISTOGRAM, UNTYPED = "counter", "gauge", "histogram", "untyped"
STEP_SAMPLES = 100
"""Samples of a step: about a tenth of a millisecond."""

Labels = Mapping[str, str]
Sample = tuple[Labels, float] | tuple[Labels, float, str]
"""Labels, value, and what follows the family's name: a histogram is of several metrics."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Family(NamedTuple):
    """One metric: all its samples, each with its labels."""

    name: str
    kind: str
    help: str
    samples: Iterable[Sample]


STEP = Family("", GAUGE, "", ())
"""Stands for nothing, where much has to be looked at before there is anything to say."""


def exposition(families: Iterable[Family]) -> Iterator[bytes]:
    """The document, in small steps."""
    for family in families:
        if family is STEP:
            yield b""
            continue
        lines = [f"# TYPE {family.name} {family.kind}", f"# HELP {family.name} {_one_line(family.help)}"]
        for labels, value, *suffix in family.samples:
            lines.append(f"{family.name}{''.join(suffix)}{_labels(labels)} {_number(value)}")
            if len(lines) >= STEP_SAMPLES:
                yield _text(lines)
                lines = []
        yield _text(lines)


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
