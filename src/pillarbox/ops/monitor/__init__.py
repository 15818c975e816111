"""`pillarbox monitor`: queues as a live table in a terminal, of Pillarbox or of any RabbitMQ.

One flow: `source` asks the HTTP management API → `table` makes rows and totals of that, purely → `plain`
prints them once, `screen` keeps them on a terminal. A process of its own: the broker knows nothing of it.

**To watch something else**, such as topics or groups: other columns and another `row_of` in `table`, and the
path in `source`.
"""
