"""Fetch sessions by hand (KIP-227): what is told again, what is not, and how a session ends."""

from __future__ import annotations

from typing import Any

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.raw_tools import batch, named, produce, topic, topic_id
from tests.protocols.kafka.asking import Asking
from tests.transcripts.registry import scenario

BY_NAME, BY_ID = 12, 13
MEBIBYTE = 1 << 20
NO_ID = bytes(16)


class Fetcher:
    """One session; `say` fetches and notes what came, by the words of the topics."""

    def __init__(self, case: Case, client: Asking, version: int, topics: dict[str, str]) -> None:
        self._case = case
        self._client = client
        self._version = version
        self._words = {name: word for word, name in topics.items()}
        self._ids = {word: topic_id(client, name) for word, name in topics.items()}
        self._topics = topics
        self.id = 0
        self.epoch = 0

    def _topic(self, word: str) -> dict[str, Any]:
        if self._version < BY_ID:
            return {"topic": self._topics.get(word, word)}
        return {"topic_id": self._ids.get(word, b"\7" * 16)}

    def say(self, what: str, wanted: dict[str, int] | None = None, forgotten: tuple[str, ...] = ()) -> None:
        """Fetch partition 0 of topics from offsets. The epoch goes on by itself."""
        place = {"partition": 0, "partition_max_bytes": MEBIBYTE, "current_leader_epoch": -1}
        topics = [
            {
                **self._topic(word),
                "partitions": [{**place, "fetch_offset": offset, "last_fetched_epoch": -1}],
            }
            for word, offset in (wanted or {}).items()
        ]
        gone = [{**self._topic(word), "partitions": [0]} for word in forgotten]
        answer = self._client.ask(
            "Fetch",
            self._version,
            max_wait=0,
            min_bytes=0,
            max_bytes=MEBIBYTE,
            session_id=self.id,
            session_epoch=self.epoch,
            topics=topics,
            forgotten_topics_data=gone,
        )
        told = []
        for each in answer.responses:
            word = self._word(each)
            for one in each.partitions:
                size = len(one.records or b"")
                told.append([word, named(one.error_code), one.high_watermark, one.log_start_offset, size > 0])
        kept = "none" if answer.session_id == 0 else "this" if answer.session_id == self.id else "new"
        self._case.saw(what, named(answer.error_code), kept, sorted(told))
        if answer.session_id:
            self.id = answer.session_id
        self.epoch += 1

    def _word(self, answered: Any) -> str:
        if self._version < BY_ID:
            return self._words.get(answered.topic, answered.topic)
        found = {identity: word for word, identity in self._ids.items()}
        identity = NO_ID if answered.topic_id is None else answered.topic_id.bytes
        return found.get(identity, "?")


def prepared(case: Case, client: Asking) -> dict[str, str]:
    topics = {word: topic(client, case.name(word)) for word in ("a", "b", "c")}
    for name in topics.values():
        produce(client, name, batch(b"one"))
    return topics


def only_what_is_new(case: Case, version: int) -> None:
    with Asking(case.bootstrap) as client:
        topics = prepared(case, client)
        fetcher = Fetcher(case, client, version, topics)
        fetcher.say("all of a and b", {"a": 0, "b": 0})
        fetcher.say("from where they end", {"a": 1, "b": 1})
        fetcher.say("nothing is new")
        produce(client, topics["b"], batch(b"two", b"three"))
        fetcher.say("b has grown")
        fetcher.say("and is read on from there", {"b": 3})
        fetcher.say("c as well", {"c": 0})
        fetcher.say("without a", {"c": 1}, ("a",))
        produce(client, topics["a"], batch(b"two"))
        fetcher.say("a has grown unseen")
        fetcher.say("a again", {"a": 1})
        fetcher.say("one that is not there", {"?": 0})
        fetcher.say("and is told again")
        fetcher.say("and is forgotten", None, ("?",))
        fetcher.say("beyond the end", {"a": 99})
        fetcher.say("back again", {"a": 2})
        fetcher.say("nothing is left", None, ("a", "b", "c"))
        fetcher.say("of that session")


@scenario("K11")
def only_what_is_new_by_name(case: Case) -> None:
    """Partitions that have neither records nor another end are left out of the answer."""
    only_what_is_new(case, BY_NAME)


@scenario("K11", "K12")
def only_what_is_new_by_id(case: Case) -> None:
    only_what_is_new(case, BY_ID)


@scenario("K11", "K75")
def epochs(case: Case) -> None:
    """One that is not the next is refused, and the session goes on with the one that is."""
    with Asking(case.bootstrap) as client:
        fetcher = Fetcher(case, client, BY_NAME, prepared(case, client))
        fetcher.say("begin", {"a": 0})
        fetcher.epoch = 5
        fetcher.say("too far", {"a": 1})
        fetcher.epoch = 1
        fetcher.say("the next", {"a": 1})
        fetcher.epoch = 1
        fetcher.say("the same again", {"a": 1})
        first = fetcher.id
        fetcher.epoch = 0
        fetcher.say("begin anew", {"a": 1})
        second = fetcher.id
        fetcher.id, fetcher.epoch = first, 2
        fetcher.say("the one before is closed")
        fetcher.id, fetcher.epoch = second, -1
        fetcher.say("do without", {"a": 1})
        fetcher.id, fetcher.epoch = second, 1
        fetcher.say("which closes it")
        fetcher.id, fetcher.epoch = 12345, 7
        fetcher.say("one that never was")


@scenario("K11", "K12", "K75")
def names_and_ids(case: Case) -> None:
    """A session that was begun with names does not go on with ids."""
    with Asking(case.bootstrap) as client:
        topics = prepared(case, client)
        fetcher = Fetcher(case, client, BY_NAME, topics)
        fetcher.say("begin", {"a": 0})
        other = Fetcher(case, client, BY_ID, topics)
        other.id, other.epoch = fetcher.id, 1
        other.say("with ids", {"a": 1})
        fetcher.say("with names", {"a": 1})


@scenario("K11")
def from_another_connection(case: Case) -> None:
    """A session is nobody's: whoever knows its number goes on with it."""
    with Asking(case.bootstrap) as client, Asking(case.bootstrap) as other:
        topics = prepared(case, client)
        fetcher = Fetcher(case, client, BY_NAME, topics)
        fetcher.say("begin", {"a": 0})
        beside = Fetcher(case, other, BY_NAME, topics)
        beside.id, beside.epoch = fetcher.id, 1
        beside.say("elsewhere", {"a": 1})
