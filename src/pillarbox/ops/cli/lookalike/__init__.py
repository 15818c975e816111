"""RabbitMQ's own commands, as far as scripts and health checks call them: `rabbitmqctl` and its sisters.

Words, columns, formatters, what goes to which stream and the exit codes are those of RabbitMQ 3.10.8 as
measured (tests compare the two). They speak the management API instead of Erlang's distribution, so they
need an account. The real ones have no options for that, so it comes from the variables that
`pillarbox.ops.cli.connecting` reads. What names a node, a cookie or long names is accepted and means nothing.

One flow: `tool` finds the `Command` (`commands`), splits the arguments (`arguments`), connects, and runs it
with a `Run`; what it returns is written by `formatting`. To add a command: one row in `commands`.

They are called `pillarbox rabbitmqctl ...`; under their own names only where somebody has asked for that
(`pillarbox install-shims`), so that a RabbitMQ on the same machine keeps its tools.
"""
