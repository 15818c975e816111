"""`pillarbox monitor`: a live table of queues (also of any RabbitMQ), topics or groups in a terminal.

One flow: `source` asks the HTTP management API → a subject (`queues`, `kafka`) makes rows and totals of that,
purely, `table` sorts them → `plain` prints them once, `screen` keeps them on a terminal. A process of its
own: the broker knows nothing of it.

**To watch something else**: another `Subject`, and its place in `source.SUBJECTS`.
"""
