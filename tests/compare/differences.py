"""Where Pillarbox answers differently from RabbitMQ 3.10.8 on purpose, each with reason and source.

The default profile stands in for RabbitMQ 3.13, the recordings are made with the 3.10.8 that Debian ships,
and where RabbitMQ breaks off without a word Pillarbox gives a reason. A difference is a hand-written
transcript, by name, and the steps of it that Pillarbox answers otherwise. Generated sequences keep away
from all of these; so a difference that is not listed here is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.compare.recording import Recording, Step


@dataclass(frozen=True)
class Difference:
    """`steps` holds, by step number, what Pillarbox is to answer."""

    transcript: str
    reason: str
    source: str
    steps: dict[int, Step]


def closed(code: int, text: str, place: str) -> Step:
    return {"a0": [["connection.close", code, text, place], ["eof"]]}


def refused(mechanism: str, *before: list[object]) -> Step:
    text = "ACCESS_REFUSED - Login was refused using authentication mechanism "
    text += f"{mechanism}. For details see the broker logfile."
    return {"a0": [*before, ["connection.close", 403, text, "0/0"], ["eof"]]}


def no_locator(queue: str, fault: str) -> Step:
    text = f"invalid arg 'x-queue-leader-locator' for queue '{queue}' in vhost '/': {fault}"
    return {
        "a1": [["channel.close", 406, f"PRECONDITION_FAILED - {text}", "50/10"]],
        "queues": {queue: "gone"},
    }


def deliver(consumer: str, tag: int, body: str) -> list[object]:
    """Say that a consumer gets a message, for the first time, without properties, through queue q1's name."""
    return ["basic.deliver", consumer, tag, 0, "", "q1", "", body]


REFUSED_NONE = refused("NONE")
REFUSED_PLAIN = refused("PLAIN", ["connection.start", 0, 9, "PLAIN AMQPLAIN", "en_US"])
UNKNOWN_TYPE = "PRECONDITION_FAILED - unknown exchange type 'no-such-type'"
UNIMPLEMENTED = "COMMAND_INVALID - unimplemented method"
WRONG_TYPE = "PRECONDITION_FAILED - invalid type '{}' for arg '{}' in exchange 'x1' in vhost '/'"
UNKNOWN_FIELD = 'SYNTAX_ERROR - unknown field type <<"Z">>'

SOFT_LIMIT = (
    "RabbitMQ looks at the limit of a quorum queue behind the message that breaks it: one more is taken, and "
    "then none before a fifth of the limit is free. Here a limit is what it says, for every type of queue. "
    "Dead letters that nobody takes count for it in both."
)
SOFT_LIMIT_SOURCE = "measured on 3.10.8; rabbit_fifo:evaluate_limit and is_over_limit in v3.10.8"
FIRST_IN_QUORUM = "20000000001a10782d64656c69766572792d636f756e746c0000000000000000"

TAKEN = [["basic.deliver", "c2", 2, 0, "", "q1", "", "m4.2"]]

DIFFERENCES = (
    Difference(
        "unknown_exchange_type",
        "Since RabbitMQ 3.13 an unknown exchange type closes the channel with 406; 3.10 closes the "
        "connection with 503.",
        "rabbit_exchange:check_type in v3.10.8 and v3.13.7",
        {0: {"a1": [["channel.close", 406, UNKNOWN_TYPE, "40/10"]], "exchanges": {"x1": "gone"}}},
    ),
    Difference(
        "unknown_delivery_mode",
        "Since RabbitMQ 3.13 every delivery_mode but 2 means transient; 3.10 closes the channel with 406.",
        "mc_amqpl in v3.13.7, rabbit_basic:is_message_persistent in v3.10.8",
        {1: {"queues": {"q1": [1, 0]}}, 2: {"queues": {"q1": [2, 0]}}},
    ),
    Difference(
        "headers_floats_and_integers",
        "Since RabbitMQ 3.13 a headers exchange compares exactly: 1 is not 1.0.",
        "rabbit_exchange_type_headers in v3.10.8 and v3.13.7",
        {
            5: {"a1": [["basic.return", 312, "NO_ROUTE", "xh", "k", "200000000007016e663f800000", "m5"]]},
            7: {"queues": {"q1": [1, 0]}},
        },
    ),
    Difference(
        "logins_that_fail",
        "RabbitMQ says nothing to a mechanism that it does not offer; here it is refused as any login is.",
        "measured on 3.10.8; spec R7",
        {4: REFUSED_NONE},
    ),
    Difference(
        "wrong_order_in_the_handshake",
        "RabbitMQ says nothing to a malformed PLAIN response; here it is refused as any login is.",
        "measured on 3.10.8; spec R7",
        {6: REFUSED_PLAIN, 7: REFUSED_PLAIN},
    ),
    Difference(
        "methods_that_do_not_exist",
        "RabbitMQ's reader crashes on a method that it does not know and drops the socket; here it is a 503.",
        "measured on 3.10.8; AMQP 0-9-1, 503 COMMAND_INVALID",
        {
            0: closed(503, UNIMPLEMENTED, "60/99"),
            1: closed(503, UNIMPLEMENTED, "61/10"),
            2: closed(503, UNIMPLEMENTED, "10/99"),
        },
    ),
    Difference(
        "field_tables_that_cannot_be_decoded",
        "RabbitMQ crashes on an unknown field type (a dropped socket, or 541); here it is a 502.",
        "measured on 3.10.8; AMQP 0-9-1, 502 SYNTAX_ERROR",
        {0: closed(502, UNKNOWN_FIELD, "50/10"), 1: closed(502, UNKNOWN_FIELD, "60/40")},
    ),
    Difference(
        "message_that_overtakes_and_expires_at_once",
        "After a publish RabbitMQ looks for what has expired only if the queue was empty before, and not "
        "again when it hands out: one that overtakes others is delivered after its time. Here it never is.",
        "measured on 3.10.8; rabbit_amqqueue_process:deliver_or_enqueue in v3.10.8",
        {
            2: {},
            3: {
                "a1": [["basic.get-ok", 1, 0, "", "q1", 0, "080000", "m1"]],
                "queues": {"q1": [0, 0]},
            },
            4: {"a1": [["basic.get-empty"]]},
        },
    ),
    Difference(
        "consistent_hash_arguments_of_other_types",
        "RabbitMQ's plugin crashes on a hash-header or hash-property that is no string (541); here it "
        "is a 406.",
        "measured on 3.10.8; rabbit_exchange_type_consistent_hash:hash_args",
        {
            number: {
                "a1": [["channel.close", 406, WRONG_TYPE.format(kind, argument), "40/10"]],
                "exchanges": {"x1": "gone"},
            }
            for number, (kind, argument) in enumerate((("byte", "hash-header"), ("bool", "hash-property")))
        },
    ),
    Difference(
        "consistent_hash_binding_twice",
        "Of a queue that is bound several times RabbitMQ's consistent hash takes the first weight, and "
        "forgets the queue when any of the bindings goes; here the oldest binding that is left counts.",
        "measured on 3.10.8; rabbit_exchange_type_consistent_hash:remove_bindings",
        {7: {"queues": {"q1": [2, 0]}}},
    ),
    Difference(
        "recent_history_for_an_exchange_without_queues",
        "RabbitMQ's plugin crashes (541) when an exchange is bound to a recent history and routes one of "
        "its messages nowhere; here that message just goes nowhere.",
        "measured on 3.10.8; rabbit_exchange_type_recent_history:add_binding",
        {3: {"a1": [["exchange.bind-ok"]]}},
    ),
    Difference(
        "single_active_consumer_goes_while_messages_wait",
        "When a single active consumer is cancelled RabbitMQ makes the next one active and gives it nothing; "
        "the next publish finds a queue that is not empty beside a consumer that can take, and the queue's "
        "process dies, with its transient messages. Here the next consumer gets what waits at once.",
        "measured on 3.10.8 and its log; rabbit_amqqueue_process:attempt_delivery",
        {
            5: {
                "a1": [["basic.cancel-ok", "c1"]],
                "a2": [["basic.deliver", "c2", 1, 0, "", "q1", "", "m4.1"], *TAKEN],
                "queues": {"q1": [0, 1]},
            }
        },
    ),
    Difference(
        "direct_reply_in_a_transaction",
        "RabbitMQ lets a direct reply go when it is published, whatever becomes of the transaction, and at "
        "the commit returns it as unroutable. Here it waits for the commit and is routed.",
        "measured on 3.10.8; rabbit_exchange:route in v3.10.8, rabbit_channel in v3.13.7",
        {
            7: {},
            8: {
                "a1": [["basic.deliver", "r", "*", 0, "", "$r1", "", "m7"]],
                "b1": [["tx.commit-ok"]],
            },
        },
    ),
    Difference(
        "placing_classic_queues",
        "RabbitMQ takes x-queue-leader-locator for classic queues from 4.0 on, and 3.10 crashes (541) on an "
        "x-queue-master-locator that it does not know. Neither means anything on one node; here the first is "
        "checked as for other queues and the second taken.",
        "measured on 3.10.8; rabbit_classic_queue:capabilities",
        {
            **{
                n: {"a1": [["queue.declare-ok", f"q{n}", 0, 0]], "queues": {f"q{n}": [0, 0]}}
                for n in (0, 1, 6, 7)
            },
            2: no_locator("q2", "invalid_queue_locator_arg"),
            3: no_locator("q3", "{unacceptable_type,byte}"),
        },
    ),
    Difference(
        "at_least_once_and_the_limit_of_the_source",
        SOFT_LIMIT,
        SOFT_LIMIT_SOURCE,
        {7: {"a1": [["confirm nack", 2]]}},
    ),
    Difference(
        "refusals_of_quorum_queues",
        SOFT_LIMIT,
        SOFT_LIMIT_SOURCE,
        {
            7: {"a1": [["confirm nack", 6]]},
            9: {
                "a1": [["basic.get-ok", 1, 0, "", "q1", 4, FIRST_IN_QUORUM, "m2"]],
                "queues": {"q1": [4, 0]},
            },
            10: {"a1": [["confirm ack", 8]], "queues": {"q1": [5, 0]}},
            15: {"a1": [["confirm nack", 11]]},
        },
    ),
    Difference(
        "prefetch_of_a_tag_that_is_used_again",
        "RabbitMQ's classic queues keep a consumer's prefetch by channel and tag: an answer to what a "
        "cancelled consumer had out gives credit to the next one under that tag, which from then on holds "
        "more than its prefetch. Here no consumer ever does.",
        "measured on 3.10.8; rabbit_queue_consumers:subtract_acks, rabbit_limiter:ack_from_queue",
        {6: {}, 7: {"a1": [deliver("c1", 3, "m2.2")], "queues": {"q1": [2, 1]}}},
    ),
    Difference(
        "prefetch_of_a_quorum_tag_that_is_used_again",
        "RabbitMQ's quorum queues take a cancelled consumer that has something out and the next one under "
        "its tag for one: it is still counted, and its deliveries fill the prefetch of the new one. Here, as "
        "in classic queues, each is a consumer by itself.",
        "measured on 3.10.8; rabbit_fifo:update_consumer",
        {
            5: {"a1": [["basic.cancel-ok", "c1"]], "queues": {"q1": [3, 0]}},
            6: {"a1": [["basic.consume-ok", "c1"], deliver("c1", 2, "m3.1")], "queues": {"q1": [2, 1]}},
            7: {},
        },
    ),
    Difference(
        "delivery_limit_under_a_single_active_consumer",
        "RabbitMQ does not count those that wait among the consumers of a quorum queue, but a cancelled one "
        "that has something out. Here, as in classic queues, those that are not cancelled count.",
        "measured on 3.10.8; rabbit_fifo:query_stat",
        {
            6: {"b1": [["basic.consume-ok", "c2"]], "queues": {"q1": [0, 2]}},
            7: {"a1": [["confirm ack", 1, 2, 3], deliver("c1", 1, "m7.0")], "queues": {"q1": [2, 2]}},
            9: {
                "a1": [["basic.cancel-ok", "c1"]],
                "b1": [deliver("c2", 1, "m7.1")],
                "queues": {"q1": [1, 1]},
            },
            10: {"queues": {"dead": [1, 0]}},
        },
    ),
    Difference(
        "channel_prefetch_is_given_back_with_a_requeue",
        "RabbitMQ's queue hands out what was given back before the channel's limiter, a process of its own, "
        "tells it that the channel may have more; so consumers held by the channel's prefetch come into the "
        "line behind whoever got that message. Here they stand in line from the answer on. Only whose turn "
        "is next differs.",
        "measured on 3.10.8; rabbit_channel:internal_reject and notify_limiter",
        {
            7: {
                "a1": [deliver("c1", 2, "m7.0")],
                "b1": [deliver("c2", 4, "m7.1"), deliver("c2", 5, "m7.2")],
            }
        },
    ),
    Difference(
        "one_answer_frees_several_consumers",
        "RabbitMQ's channel passes one answer on consumer by consumer, in the order of their tags, and each "
        "takes what waits up to its prefetch before the next one may. Here all of them have their credit at "
        "once and share what waits, message by message, in the order in which they came to wait.",
        "measured on 3.10.8; rabbit_channel:foreach_per_queue",
        {
            6: {
                "a1": [deliver(f"c{2 - turn % 2}", 5 + turn, f"m5.{turn}") for turn in range(4)],
                "queues": {"q1": [0, 2]},
            }
        },
    ),
)

INVALID = "Validation failed\n\n{}\n"
KINDS_OF_POLICIES = "all, queues, classic_queues, quorum_queues, streams, exchanges"

POLICY_DIFFERENCES = (
    Difference(
        "policy_brings_limit_and_refusal_at_once",
        "Of a policy that changes a limit and what a full queue does RabbitMQ applies the limit first, and "
        "so drops messages of a queue that is to refuse new ones instead. Here it keeps what it has.",
        "measured on 3.10.8; rabbit_amqqueue_process:process_args_policy",
        {
            2: {"http": [201]},
            4: {"queues": {"q1": [7, 0]}},
        },
    ),
    Difference(
        "policy_of_a_stream",
        "RabbitMQ 3.10 crashes (500) on a max-age that is no text; here it is the 400 that a malformed text "
        "gets.",
        "measured on 3.10.8; rabbit_policies:validate_policy0",
        {12: {"http": [400, INVALID.format("5 is not a valid max age")]}},
    ),
    Difference(
        "policies_that_are_refused",
        "Policies for one type of queue came with RabbitMQ 3.12. What is wrong with a regular expression "
        "each says in the words of its own engine.",
        "measured on 3.10.8; rabbit_policy:apply_to_validation in v3.13.7",
        {
            13: {
                "http": [
                    400,
                    INVALID.format(
                        "pattern should be regular expression but is invalid: "
                        '{"missing ), unterminated subpattern",1}'
                    ),
                ]
            },
            14: {
                "http": [
                    400,
                    INVALID.format(
                        f"apply-to 'everything' unrecognised; should be one of {KINDS_OF_POLICIES}"
                    ),
                ]
            },
        },
    ),
)

STREAM_OFFSET = (
    "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 's1' in vhost '/': "
    "{{invalid_stream_offset_arg,{{{},{}}}}}"
)
STREAM_NACK = (
    "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue 's1' in vhost '/'"
)

STREAM_DIFFERENCES = (
    *(
        Difference(
            transcript,
            "RabbitMQ 3.10 crashes (541) on an offset that it cannot read; here it is the 406 that it gives "
            "to an interval that it cannot read.",
            "measured on 3.10.8; rabbit_stream_queue:parse_offset_arg",
            {2: {"a1": [["channel.close", 406, STREAM_OFFSET.format(kind, value), "60/20"]]}},
        )
        for transcript, kind, value in (
            ("offset_that_is_no_word", "longstr", '<<"soon">>'),
            ("offset_that_is_a_boolean", "bool", "true"),
            ("offset_that_is_a_table", "table", "[]"),
        )
    ),
    Difference(
        "recover_gives_nothing_back",
        "RabbitMQ crashes (541) when deliveries of a stream are to come back by basic.recover; here it is "
        "the 540 that basic.nack gets.",
        "measured on 3.10.8; rabbit_stream_queue:settle",
        {6: closed(540, STREAM_NACK, "60/110")},
    ),
    Difference(
        "deleted",
        "RabbitMQ says that a deleted stream had no messages; here it says how many.",
        "measured on 3.10.8",
        {5: {"a1": [["queue.delete-ok", 1], ["basic.cancel", "c1"]], "queues": {"s1": "gone"}}},
    ),
    Difference(
        "deleted_only_if_empty",
        "RabbitMQ deletes a stream with messages although it was told to only if it is empty.",
        "measured on 3.10.8",
        {
            3: {
                "a1": [
                    ["channel.close", 406, "PRECONDITION_FAILED - queue 's1' in vhost '/' not empty", "50/40"]
                ]
            }
        },
    ),
    Difference(
        "declared_again",
        "RabbitMQ knows how many messages a stream has only some seconds later; here it is always known.",
        "measured on 3.10.8",
        {3: {"a1": [["queue.declare-ok", "s1", 1, 0]]}, 4: {"a1": [["queue.declare-ok", "s1", 1, 0]]}},
    ),
)

TURNS = "R71: see the transcript channel_prefetch_is_given_back_with_a_requeue"

DIES = (
    "R51: a single active consumer is cancelled while messages wait, see the transcript "
    "single_active_consumer_goes_while_messages_wait; at the next publish the process of RabbitMQ's queue "
    "dies (badmatch in rabbit_amqqueue_process:attempt_delivery, v3.10.8) and forgets what it held"
)

# Transcripts of rows that are still to be built: they must differ, and leave this list when they do not.
PENDING = {
    "prefetching-27": TURNS,
    "committing-22": DIES,
}

DIFFERENCES += POLICY_DIFFERENCES + STREAM_DIFFERENCES
BY_TRANSCRIPT = {difference.transcript: difference for difference in DIFFERENCES}


def expected_steps(recording: Recording) -> list[Step]:
    """Return the steps that Pillarbox is to show for a recording."""
    difference = BY_TRANSCRIPT.get(recording.name)
    if difference is None:
        return recording.steps
    return [difference.steps.get(number, step) for number, step in enumerate(recording.steps)]


def in_words() -> Iterator[str]:
    """The differences for docs/compatibility.md."""
    for each in DIFFERENCES:
        yield f"`{each.transcript}`: {each.reason} (Source: {each.source}.)"
