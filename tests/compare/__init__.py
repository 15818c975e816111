"""Differential transcripts: the same AMQP 0-9-1 operations against a real RabbitMQ and against Pillarbox.

A *sequence* is a list of operations as data (`operations`); `run.Runner` performs it on any broker through
a raw client of our own (`client`) and writes down, step by step, what every channel received and how the
counts of the queues changed; `normalise` takes out what may differ, with a reason each; `differences`
lists where Pillarbox differs on purpose. Sequences come from hand (`written`) and from hypothesis
(`generated`). RabbitMQ's answers are recorded once, with its version (`recordings/`), and replayed without
it (`test_replay.py`).

    python -m tests.compare record [GROUP...]          run on RabbitMQ, write recordings/
    python -m tests.compare run --fresh 100 --seed 7   new random sequences on both; differences are shrunk
    python -m tests.compare replay [WORD...] [--shrink]   the recordings, every difference printed

To add a transcript: one function in `written`, then record its group.
"""
