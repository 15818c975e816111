"""Metrics for Prometheus on port 15692, under the names that RabbitMQ's own dashboards read.

`families` says what there is: a table, one row per metric. `exposition` writes the text format, `application`
serves it. **To add a metric**: a row in one of the tables of `families`.

Source: RabbitMQ's Prometheus plugin; names and labels measured on 3.10.8. Not here: counting.
"""
