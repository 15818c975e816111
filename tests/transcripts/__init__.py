"""Transcripts: what an unmodified client saw of a broker, written down, recorded and compared.

A *scenario* is a function that uses a client as its users do and writes a transcript, line by line, without
anything that differs from run to run (`case`, `registry`). What it sees on a peer is kept (`recording`) and
compared with what it sees on Pillarbox (`report`), but for the differences that are listed with a reason.

Here is what comparisons of several protocols share; brokers and scenarios stand with each of them
(`compare_kafka`, `compare_messaging`).
"""
