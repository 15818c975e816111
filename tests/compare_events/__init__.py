"""Events and copies of messages: Pillarbox tells on `amq.rabbitmq.event` and `amq.rabbitmq.trace` what
RabbitMQ tells there.

A *scenario* is a function that does something to a broker, as a client over AMQP or over HTTP; what the
broker tells of it is the transcript: for each message the routing key, and each header's name with the letter
of its AMQP type, and its value, in the order in which they came (`watcher`, `case`). Scenarios stand in
`scenarios/`. What RabbitMQ told is recorded with its version (`recordings/`) and compared with Pillarbox in
`make test`, where no peer runs (`test_replay`). `differences` lists where Pillarbox tells something else.

    python -m tests.compare_events record [WORD...]   run on RabbitMQ three times, write recordings/
    python -m tests.compare_events replay [WORD...]   Pillarbox against the recordings

WORD is a part of a scenario's file and name. To add a scenario: one function in `scenarios/`, then record it.
"""
