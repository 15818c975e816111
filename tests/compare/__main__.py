"""Command line of the differential transcripts; see the package."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from tests.compare import generated
from tests.compare.brokers import Broker, pillarbox, rabbitmq
from tests.compare.client import PeerSilent
from tests.compare.differences import expected_steps
from tests.compare.operations import Sequence
from tests.compare.recording import Recording, Step, load_all, save
from tests.compare.report import first_difference, report
from tests.compare.shrink import shrink
from tests.compare.written import ALL

SEED = 20231123
COUNT_PER_THEME = 30
RUNS_TO_TRUST = 3  # A sequence whose answers are not the same in so many runs says nothing.


def stable(broker: Broker, sequence: Sequence, runs: int = RUNS_TO_TRUST) -> list[Step] | None:
    """Return the steps of a sequence, or None, with words, if the peer does not answer alike every time."""
    first = answered(broker, sequence)
    for _ in range(runs - 1):
        again = answered(broker, sequence)
        number = first_difference(first, again)
        if number is not None:
            print(
                f"not alike every time: {sequence[number]}: {first[number]}, {again[number]}", file=sys.stderr
            )
            return None
    return first


def record(arguments: argparse.Namespace) -> int:
    """Run everything on RabbitMQ and write the recordings."""
    dropped = 0
    with rabbitmq() as broker:
        for group, sequences, number in planned(arguments.only):
            done = []
            for name, rows, sequence in sequences:
                steps = stable(broker, sequence)
                if steps is None or "silent" in steps[-1]:
                    dropped += 1
                    print(f"left out: {group} {name}: {steps[-1] if steps else 'unstable'}", file=sys.stderr)
                else:
                    done.append(Recording(name, rows, sequence, steps))
            save(group, broker.name, done, seed=number)
            print(f"{group}: {len(done)} sequences, {sum(len(each.operations) for each in done)} operations")
    return 1 if dropped else 0


def planned(only: list[str]) -> Iterator[tuple[str, list[tuple[str, tuple[str, ...], Sequence]], int | None]]:
    """Yield (group, its named sequences with their rows, seed)."""
    for group in sorted({transcript.group for transcript in ALL.values()}):
        if not only or group in only:
            members = [transcript for transcript in ALL.values() if transcript.group == group]
            yield group, [(each.name, each.rows, each.sequence()) for each in members], None
    for theme in generated.THEMES:
        if not only or theme in only:
            made = generated.generate(theme, COUNT_PER_THEME, SEED)
            yield f"random-{theme}", [(f"{theme}-{n}", (), each) for n, each in enumerate(made)], SEED


def answered(broker: Broker, sequence: Sequence) -> list[Step]:
    """Run a sequence; a broker that hangs or speaks nonsense is an answer too."""
    try:
        return broker.run(sequence)
    except PeerSilent as error:
        return [{"silent": str(error)}]


def smaller(peer: Broker, ours: Broker, sequence: Sequence) -> Sequence:
    """Return a smallest part of a sequence on which the two brokers differ."""
    return shrink(
        sequence, lambda part: first_difference(answered(peer, part), answered(ours, part)) is not None
    )


def explained(peer: Broker, ours: Broker, theme: str, sequence: Sequence) -> str:
    """Show what two brokers answer, or that it was the same this time."""
    steps, got = answered(peer, sequence), answered(ours, sequence)
    if first_difference(steps, got) is None:
        return f"--- {theme}: not seen a second time: {sequence}"
    return report(Recording(theme, (), sequence, steps, peer.name), steps, got, ours.name)


def run(arguments: argparse.Namespace) -> int:
    """Make new sequences, run both brokers live, print and shrink differences."""
    found = 0
    themes = arguments.only or list(generated.THEMES)
    with rabbitmq() as peer, pillarbox() as ours:
        for theme in themes:
            for sequence in generated.generate(theme, -(-arguments.fresh // len(themes)), arguments.seed):
                expected = answered(peer, sequence)
                if first_difference(expected, answered(ours, sequence)) is None:
                    continue
                if stable(peer, sequence) != expected:
                    print(
                        f"{theme}: {peer.name} does not answer alike every time; passed over", file=sys.stderr
                    )
                    continue
                found += 1
                print(explained(peer, ours, theme, smaller(peer, ours, sequence)), flush=True)
                if found >= arguments.stop:
                    return 1
    print(f"{arguments.fresh} sequences, seed {arguments.seed}: {found} differences")
    return 1 if found else 0


def replay(arguments: argparse.Namespace) -> int:
    """Compare Pillarbox with the recordings; print every difference."""
    found = total = 0
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(pillarbox())
        peer = stack.enter_context(rabbitmq()) if arguments.shrink else None
        for recording in load_all():
            if arguments.only and not any(word in recording.name for word in arguments.only):
                continue
            total += 1
            expected = expected_steps(recording)
            got = answered(ours, recording.operations)
            if expected == got:
                continue
            found += 1
            if peer is not None and expected == recording.steps:
                sequence = smaller(peer, ours, recording.operations)
                expected, got = answered(peer, sequence), answered(ours, sequence)
                recording = Recording(recording.name, (), sequence, expected, peer.name)
            print(report(recording, expected, got, ours.name), flush=True)
    print(f"{total} recordings, {found} differ")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("record", help="run everything on RabbitMQ and write the recordings")
    command.add_argument("only", nargs="*", help="groups and themes (default: all)")
    command.set_defaults(function=record)
    command = commands.add_parser("run", help="new random sequences, both brokers live")
    command.add_argument("only", nargs="*", help="themes (default: all)")
    command.add_argument("--fresh", type=int, default=60, help="how many sequences")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--stop", type=int, default=10, help="end after so many differences")
    command.set_defaults(function=run)
    command = commands.add_parser("replay", help="compare Pillarbox with the recordings")
    command.add_argument("only", nargs="*", help="words of which a recording's name must hold one")
    command.add_argument(
        "--shrink", action="store_true", help="make each difference small, with a live RabbitMQ"
    )
    command.set_defaults(function=replay)
    arguments = parser.parse_args()
    result: int = arguments.function(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
