"""Regular expressions of users: usual ones may run on the loop, such that may take for ever may not."""

from __future__ import annotations

import re

import pytest

from pillarbox.patterns import CHARS_MAX, checked

USUAL = [
    "",
    "^$",
    ".*",
    "^.*$",
    r"^(amq\.|ha\.).*",
    r"^(amq\.gen.*|amq\.default)$",
    r"^(?!amq\.).*",
    r"^(?!amq\.|federation:).*$",
    r"^((?!amq\.).)*$",
    r"^[^.]+\.eu$",
    r"^([a-z]+\.)*[a-z]+$",
    r"^\w+(-\w+)*$",
    r"^(eu|us)\.[a-z0-9-]+\.(dlq|retry)(\.\d+)?$",
    r"^(\d{1,3}\.){3}\d{1,3}$",
    r"(?i)^orders",
    r".*orders.*eu.*",
    r"^(foo|foobar)+$",
    r"(\w|\d)+$",
    r"^ha-(two|all|nodes)\..*",
    r"(?P<word>[a-z]+)-(?P=word)",
]

ENDLESS = [
    "(a+)+$",
    "(a*)*b",
    "([a-z]+)*1",
    "(.*,)*x",
    "(.*a){20}x",
    "(a?){30}a{30}",
    "a?" * 30 + "a" * 30,
    "(x+x+)+y",
    "((a{0,4}){0,4}){0,4}b",
    "(a|b|ab)*c",
    "(a+,a*)*b",
    ".*.*.*.*.*x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    "(?=(a+)+$)b",
    "(?i)([k\u212a]+[K])+$",
]


@pytest.mark.parametrize("text", USUAL)
def test_usual_patterns_are_compiled_as_they_are(text: str) -> None:
    assert checked(text).compiled == re.compile(text)


@pytest.mark.parametrize("text", ENDLESS)
def test_patterns_that_may_take_for_ever_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(re.error, match="may match the same characters"):
        checked(text)


@pytest.mark.parametrize("text", ["(", "[", "a{99999999999}", "(" * 2000 + ")" * 2000, "a" * (CHARS_MAX + 1)])
def test_patterns_that_are_wrong_or_too_large_are_refused(text: str) -> None:
    with pytest.raises(re.error):
        checked(text)


@pytest.mark.parametrize(
    ("text", "powers"),
    [("^a", 0), ("a", 1), ("^a+$", 1), ("^.*a", 1), (".*a", 2), ("^.*a.*b", 2), ("^a+b+$", 1), (".*a.*b", 3)],
)
def test_only_repeats_that_the_next_character_does_not_end_multiply(text: str, powers: int) -> None:
    assert checked(text).powers == powers


def test_letters_of_either_case_are_alike_where_case_is_ignored() -> None:
    assert checked("^a+A+b").powers < checked("^a+A+b", re.IGNORECASE).powers
