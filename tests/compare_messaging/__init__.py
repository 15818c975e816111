"""Unmodified clients of MQTT and STOMP against Mosquitto, RabbitMQ, ActiveMQ and Artemis, and against
Pillarbox: all show them the same.

A *scenario* is a function that uses a client as its users do and writes a *transcript*: what the client saw,
line by line, without anything that differs from run to run. Scenarios stand in `scenarios/`, a file for each
client, which names the peers that it is recorded on. What they saw is recorded with the peer's version
(`recordings/`) and compared with Pillarbox in `make test`, where no peer runs (`test_replay`). `differences`
lists where Pillarbox answers otherwise on purpose.

    python -m tests.compare_messaging record [WORD...]   run on the peers three times, write recordings/
    python -m tests.compare_messaging replay [WORD...]   Pillarbox against the recordings

WORD is a part of a scenario's file and name. To add a scenario: one function in `scenarios/`, then record it.
"""
