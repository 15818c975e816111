"""Shovels: what moves messages from one broker to another, or between queues of this one (R143).

A shovel is a runtime parameter of the component `shovel`, in RabbitMQ's words. `shovels` keeps one worker for
each; `definition` says what a parameter may hold and what it means, `uri` how brokers are named; `worker`
moves messages between two `end`s, each a connection of a client (`protocols.amqp091.client`) over a link that
the composition root has opened (`net.outgoing`).

One flow: PUT /api/parameters/shovel/VHOST/NAME → `Parameters` → `Shovels` → `Worker` → messages come in at
the source's end, leave at the destination's, and are acknowledged when they are confirmed.

Nothing but `shovels` is imported before there is a shovel. To add a key of the parameter: a row in
`definition.KEYS`.
"""
