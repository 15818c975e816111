"""What operators see and use: the command line now; management API, metrics and monitor later.

Main types: `cli.main`. One flow: a command line becomes a `Config`, which `pillarbox.app` runs. To add one
more thing to see or to steer: a subcommand in `cli`, or a file per resource beside it. Statistics are pulled
from the broker's counters by what stands here; the broker never pushes them.
"""
