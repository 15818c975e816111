"""Hostile, broken and overwhelming clients over real sockets, and a neighbour that must not notice them.

What is demanded: the specified close with a reason, no traceback, nobody else disturbed, nothing left behind.
"""
