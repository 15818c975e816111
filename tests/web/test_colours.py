"""What is written on the page can be read: WCAG 2's contrast of 4.5 to 1, in both themes (R124)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pillarbox.ops.web

pytestmark = pytest.mark.row("R124")

STYLE = (Path(pillarbox.ops.web.__file__).parent / "static" / "style.css").read_text()
CONTRAST_MIN = 4.5
THEMES = {"light": ":root {", "dark": ':root[data-theme="dark"] {'}
ON_PLAIN = [
    (ink, ground) for ink in ("ink", "ink-soft", "red-ink") for ground in ("paper", "card", "shade")
] + [("on-red", "red")]
ON_TINTED = [("green", "green", 13), ("amber", "amber", 15), ("red-ink", "red", 13)]
"""Text, and the colour of which so many per cent are in the card below it: the pills of states."""

Colour = tuple[float, float, float]


def colours(theme: str) -> dict[str, Colour]:
    start = STYLE.index(THEMES[theme])
    block = STYLE[start : STYLE.index("}", start)]
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6})", block)
    return {name: tuple(int(text[at : at + 2], 16) for at in (0, 2, 4)) for name, text in found}


def luminance(colour: Colour) -> float:
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: Colour, ground: Colour, percent: int) -> Colour:
    red, green, blue = (
        (one * percent + other * (100 - percent)) / 100 for one, other in zip(colour, ground, strict=True)
    )
    return red, green, blue


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_from_what_is_below_it(theme: str) -> None:
    by_name = colours(theme)
    found = {f"{ink} on {ground}": contrast(by_name[ink], by_name[ground]) for ink, ground in ON_PLAIN}
    for ink, tint, percent in ON_TINTED:
        ground = mixed(by_name[tint], by_name["card"], percent)
        found[f"{ink} on {percent} % of {tint}"] = contrast(by_name[ink], ground)
        assert f"var(--{tint}) {percent}%, transparent)" in STYLE, "what the page has there now"
    assert {what: ratio for what, ratio in found.items() if ratio < CONTRAST_MIN} == {}
