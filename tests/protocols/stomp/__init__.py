"""Tests of the STOMP head: its codec by itself, the rest over sockets."""
