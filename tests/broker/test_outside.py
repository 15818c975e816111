"""Questions for others (R8): what is known while something is done again, what is kept, what is too much."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.broker.outside import (
    ANSWERS_MAX,
    NO_CALLER,
    OUTSTANDING_MAX,
    QUESTIONS_MAX,
    TOLD_MAX,
    Access,
    Answer,
    Backend,
    Entry,
    Login,
    Outside,
    Question,
    Undecided,
    Vouched,
)

pytestmark = pytest.mark.row("R8")

PLAIN = Backend("http", "http")
CACHED = Backend("http", "http", 15_000)
YES, NO, BROKEN = Answer(True), Answer(False), Answer(False, error="timeout")


class Desk:
    """An `Outside` whose questions pile up until a test answers them."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.soon: list[Callable[[], None]] = []
        self.sent: list[Question] = []
        self.outside = Outside(lambda: self.now_ms, self.soon.append, lambda size: bytes(range(size)))
        self.outside.send = self.sent.append

    def user(self, name: str = "alice", backend: Backend = PLAIN) -> Vouched:
        return Vouched(self.outside, backend, name, (), NO_CALLER, b"shibboleth")

    def do(self, act: Callable[[], object]) -> None:
        """What a head does with an operation."""
        try:
            act()
        except Undecided as undecided:
            self.outside.when_answered(undecided, lambda: self.do(act))

    def answer(self, answer: Answer = YES) -> Question:
        """Answer the oldest question."""
        question = self.sent.pop(0)
        self.outside.answered(question, answer)
        return question


def test_operation_gets_one_question_further_each_time() -> None:
    """Although nothing is kept, and a refusal is an answer like any other."""
    desk, told = Desk(), []
    user = desk.user()

    def act() -> None:
        told.append([user.access("/", "read", "queue", name).allowed for name in ("a", "b", "c")])

    desk.do(act)
    for answer in (YES, NO, YES):
        assert told == []
        desk.answer(answer)
    assert told == [[True, False, True]]
    with pytest.raises(Undecided):
        user.access("/", "read", "queue", "b")
    assert user.access("/", "read", "queue", "a") is YES


def test_what_one_operation_was_told_is_not_known_to_the_next() -> None:
    desk = Desk()
    user = desk.user()

    def act() -> None:
        user.access("/", "read", "queue", "a")
        desk.outside.over()
        with pytest.raises(Undecided):
            user.access("/", "read", "queue", "b")

    def both() -> None:
        user.access("/", "read", "queue", "b")
        act()

    desk.do(both)
    desk.answer(NO)
    desk.answer(YES)
    assert desk.sent == []


def test_question_of_several_is_asked_once() -> None:
    desk, told = Desk(), []
    for user in (desk.user(), desk.user(), desk.user("bob")):
        desk.do(lambda user=user: told.append((user.name, user.entry("/").allowed)))  # type: ignore[misc]
    assert len(desk.sent) == 2
    desk.answer(NO)
    assert told == [("alice", False), ("alice", False)]


def test_who_waits_no_more_is_not_called() -> None:
    desk, told = Desk(), []
    user = desk.user()
    with pytest.raises(Undecided) as undecided:
        user.entry("/")
    waiter = desk.outside.when_answered(undecided.value, lambda: told.append(1))
    waiter.cancel()
    desk.answer()
    assert told == []


@pytest.mark.parametrize(
    ("backend", "answer", "keeps"),
    [
        (PLAIN, YES, False),
        (CACHED, YES, True),
        (CACHED, NO, False),
        (CACHED, BROKEN, False),
        (CACHED._replace(keeps_refusals=True), NO, True),
        (CACHED._replace(keeps_refusals=True), BROKEN, False),
    ],
)
def test_backend_says_what_is_kept_for_all(backend: Backend, answer: Answer, keeps: bool) -> None:
    desk = Desk()
    desk.do(lambda: desk.user(backend=backend).entry("/"))
    desk.answer(answer)
    desk.now_ms += 14_999
    desk.do(lambda: desk.user(backend=backend).entry("/"))
    assert bool(desk.sent) is not keeps
    desk.sent.clear()
    desk.now_ms += 1
    desk.do(lambda: desk.user("bob", backend).entry("/"))
    assert desk.sent


def test_answers_that_are_kept_have_a_bound() -> None:
    desk = Desk()
    for number in range(ANSWERS_MAX + 1):
        desk.do(lambda number=number: desk.user(backend=CACHED).entry(str(number)))  # type: ignore[misc]
        desk.answer()
    for vhost, known in (("0", False), ("1", True), (str(ANSWERS_MAX), True)):
        desk.sent.clear()
        desk.do(lambda vhost=vhost: desk.user(backend=CACHED).entry(vhost))  # type: ignore[misc]
        assert bool(desk.sent) is not known
        if desk.sent:
            desk.answer(NO)
    user = desk.user()
    for number in range(TOLD_MAX + 1):
        user.remember(Entry("http", user.person, str(number), ""), YES)
    with pytest.raises(Undecided):
        user.entry("0")
    assert user.entry("1") is YES


def test_too_many_questions_are_refused_in_a_turn_to_come() -> None:
    desk, told = Desk(), []
    for number in range(OUTSTANDING_MAX + 1):
        user = desk.user(f"u{number}")
        desk.do(lambda user=user: told.append(user.entry("/")))  # type: ignore[misc]
    assert len(desk.sent) == OUTSTANDING_MAX
    assert told == []
    desk.soon.pop()()
    assert [(one.allowed, bool(one.error)) for one in told] == [(False, True)]


def test_operation_that_never_ends_asking_is_refused() -> None:
    desk = Desk()
    user = desk.user()
    answers: list[Answer] = []

    def act() -> None:
        number = 0
        while (answer := user.access("/", "read", "queue", f"q{number}")).allowed:
            number += 1
        answers.append(answer)

    desk.do(act)
    for _ in range(QUESTIONS_MAX):
        desk.answer()
    assert desk.sent == []
    desk.soon.pop()()
    assert answers[0].error


def test_nobody_to_ask_is_a_refusal() -> None:
    desk, told = Desk(), []
    desk.outside.send = None
    desk.do(lambda: told.append(desk.user().entry("/").allowed))
    desk.soon.pop()()
    assert told == [False]


def test_name_that_was_chosen_is_chosen_again_once() -> None:
    desk, chosen = Desk(), []
    user = desk.user()
    names = iter(["amq.gen-1", "amq.gen-2", "amq.gen-3"])

    def choose() -> str:
        return desk.outside.name_again("amq.gen-") or next(names)

    def act() -> None:
        first = choose()
        user.access("/", "configure", "queue", first)
        second = choose()
        user.access("/", "configure", "queue", second)
        chosen.append((first, second))

    desk.do(act)
    desk.answer()
    desk.answer()
    assert chosen == [("amq.gen-1", "amq.gen-2")]
    assert choose() == "amq.gen-3"


def test_secrets_are_not_shown_and_not_kept() -> None:
    desk = Desk()
    desk.do(lambda: desk.outside.answer(Login("http", "alice", b"hush", NO_CALLER), CACHED))
    desk.do(lambda: desk.user().access("/", "read", "queue", "q"))
    assert "hush" not in repr(desk.sent)
    assert "shibboleth" not in repr(desk.sent)
    desk.answer()
    assert "hush" not in repr(desk.outside._kept)
    assert b"hush" not in [getattr(one, "password", None) for one in desk.outside._kept]
    desk.do(lambda: desk.outside.answer(Login("http", "alice", b"other", NO_CALLER), CACHED))
    assert [type(one) for one in desk.sent] == [Access, Login]
