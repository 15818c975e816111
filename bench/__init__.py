"""Side-by-side load against real peers: what Pillarbox costs and what they cost, in one run.

`peers` starts brokers (Pillarbox, RabbitMQ, LavinMQ) on free loopback ports with a data folder of their own;
`amqp_load` puts load on whatever speaks AMQP 0-9-1; `run` plays every row of the load table in turn against
every peer found and writes RESULTS.md; `calls` counts function calls per message; `scale` measures sizes: ten
million waiting messages, ten thousand queues, a thousand connections, start time, idle memory.

Nothing here is part of the installed package.
"""
