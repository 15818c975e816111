"""Unmodified Kafka clients against a real Apache Kafka and against Pillarbox: both show them the same.

A *scenario* is a function that uses a client as its users do and writes a *transcript*: what the client saw,
line by line, without anything that differs from run to run (`case`). Scenarios stand in `scenarios/`, a file
for each client and subject. What they saw on Kafka is recorded with its version (`recordings/`) and compared
with Pillarbox in `make test`, where no Kafka runs (`test_replay`). `differences` lists where Pillarbox
answers otherwise on purpose, and what is not built yet.

    python -m tests.compare_kafka record [WORD...]   run on Kafka three times, write recordings/
    python -m tests.compare_kafka run [WORD...]      both brokers live, every difference printed
    python -m tests.compare_kafka replay [WORD...]   Pillarbox against the recordings

WORD is a part of a scenario's file and name. To add a scenario: one function in `scenarios/`, then record it.
"""
