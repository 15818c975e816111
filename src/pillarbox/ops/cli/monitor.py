"""`pillarbox monitor`: a table, live or once: queues (of Pillarbox or of any RabbitMQ), topics, groups,
destinations or subscribers."""

from __future__ import annotations

import sys
import threading

import click

from pillarbox.config_values import SECONDS
from pillarbox.ops.cli import CONTEXT
from pillarbox.ops.cli.connecting import connect, connection_options
from pillarbox.ops.monitor.source import SUBJECTS, Shot, take
from pillarbox.ops.monitor.table import Subject, arranged


def run(
    vhost: str | None,
    interval: str,
    sort: str,
    reverse: bool,
    contains: str,
    once: bool,
    as_json: bool,
    watched: str,
    **connection: object,
) -> int:
    """Show the table until somebody has seen enough."""
    try:
        interval_s = SECONDS.parse(interval)
    except ValueError:
        raise click.UsageError(f'--interval must be {SECONDS.expected}, not "{interval}"') from None
    subject = next(one for one in SUBJECTS if one.name == watched)
    fields = [column.field for column in subject.columns]
    if sort not in fields:
        raise click.UsageError(f"--sort {sort}: {subject.name} are sorted by {', '.join(fields)}")

    with connect(connection) as api:

        def ask(subject: Subject) -> Shot:
            return take(api, subject, vhost)

        if not once and not as_json and sys.stdout.isatty():
            from pillarbox.ops.monitor.screen import Monitor

            options = {"interval_s": max(1.0, interval_s), "sort": sort, "reverse": reverse}
            Monitor(ask, subject=subject, contains=contains, **options).run()
            return 0
        from pillarbox.ops.monitor.plain import print_table, to_json

        pause = threading.Event()
        while True:
            shot = ask(subject)
            rows = arranged(subject, shot.rows, sort=sort, reverse=reverse, contains=contains)
            if as_json:
                click.echo(to_json(shot, rows))
            else:
                print_table(shot, rows)
            if once:
                return 0
            pause.wait(interval_s)


HELP = (
    "Watch queues, which is what is watched unless said.",
    "Watch Kafka's topics.",
    "Watch groups of Kafka's consumers, and how far they are behind.",
    "Watch queues and topics as users of STOMP, MQTT and ActiveMQ know them.",
    "Watch subscribers to topics of STOMP, MQTT and ActiveMQ, also those who are offline.",
)

command = click.Command(
    "monitor",
    context_settings=CONTEXT,
    callback=run,
    params=[
        *connection_options(),
        click.Option(["--vhost"], help="Only the queues of this virtual host."),
        click.Option(
            ["--interval"], metavar="TIME", default="5s", show_default=True, help="How often to ask."
        ),
        click.Option(
            ["--sort"],
            metavar="FIELD",
            default="name",
            show_default=True,
            help="The column to sort by: numbers from the largest, texts from A.",
        ),
        click.Option(["--reverse"], is_flag=True, help="Sort the other way round."),
        click.Option(["--filter", "contains"], default="", help="Only those with this in their name."),
        *(
            click.Option(
                [f"--{subject.name}", "watched"],
                flag_value=subject.name,
                default=SUBJECTS[0].name,
                help=help,
            )
            for subject, help in zip(SUBJECTS, HELP, strict=True)
        ),
        click.Option(["--once"], is_flag=True, help="Print the table once and end."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, a line each time."),
    ],
    help="Watch the queues of a broker, Pillarbox or RabbitMQ, over its HTTP management API; or the "
    "topics and groups of a Pillarbox with a Kafka port, or its destinations and subscribers of STOMP and "
    "MQTT.\n\n"
    "On a terminal: 1 to 5 show queues, topics, groups, destinations and subscribers, s sorts by the next "
    "column, r reverses, / filters, p pauses, + and - change the interval, q ends. Elsewhere the table is "
    "printed again and again, with --once a single time.",
)
