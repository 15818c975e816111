"""Every state that a power cut may leave is recovered to what was confirmed, and nothing is invented.

DESIGN 7 and 10: record every file operation under load; rebuild prefixes, dropped and torn unsynced writes,
creates, renames and removes without directory sync; recover each. The scheduler is shuffled, so commits,
loads and checkpoints meet in any order.
"""

from __future__ import annotations

import pytest
from crash_tools import FOLDER, Workload, assert_recovered, moments, recovered_state

from pillarbox.engine.checkpoint_file import checkpoint_numbers, checkpoint_path
from pillarbox.store import committer
from pillarbox.store.files import StoreError
from pillarbox.testing.faults import Image, SimulatedFiles, crash_images


@pytest.fixture(autouse=True)
def _syncs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a lone publisher's group is committed at once depends on it, and runs are to be repeatable."""
    monkeypatch.setattr(committer, "monotonic_ns", lambda: 0)


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_at_any_moment_keeps_all_that_was_confirmed(seed: int) -> None:
    """fsync: the recovered state is that after a group between the last confirmed and the last appended."""
    work = Workload(seed, adopt_merged=seed % 2 == 0, allocate_bytes=seed % 3 * 2500)
    work.run(150)
    seen = 0
    for _, confirmed, appended, image in moments(work.simulated, seed=seed, mixtures=3):
        found = recovered_state(SimulatedFiles(image))
        assert_recovered(found, work.domain, confirmed, appended)
        seen += 1
    assert seen > 300
    assert work.checkpoints


@pytest.mark.parametrize("seed", range(100, 103))
def test_power_cut_with_durability_os_leaves_the_state_after_some_group(seed: int) -> None:
    """os: a power cut may lose confirmed groups, but never tears one, reorders them, or stops a start."""
    work = Workload(seed, durability="os")
    work.run(120)
    lost = 0
    for _, confirmed, appended, image in moments(work.simulated, seed=seed, mixtures=3):
        found = recovered_state(SimulatedFiles(image), durability="os")
        lost += assert_recovered(found, work.domain, 0, appended) < confirmed
    assert lost


def test_killed_process_loses_nothing_confirmed_with_durability_os() -> None:
    """os: what was written is in the page cache, which outlives the process."""
    work = Workload(7, durability="os")
    work.run(150)
    last = -1
    for done, confirmed, appended, image in moments(work.simulated, seed=0, mixtures=0):
        if done == last:
            continue
        # The first image of every moment is the one with everything applied.
        last = done
        found = recovered_state(SimulatedFiles(image), durability="os")
        assert_recovered(found, work.domain, confirmed, appended)


@pytest.mark.parametrize("seed", range(200, 203))
def test_power_cut_during_or_after_a_recovery_leaves_what_was_recovered(seed: int) -> None:
    """Recovery may be interrupted anywhere, and once it is done nothing of what it found is lost."""
    work = Workload(seed)
    work.run(100)
    cut = 0
    for number, (_, confirmed, appended, image) in enumerate(moments(work.simulated, seed=seed, mixtures=3)):
        if number % 7:
            continue
        again = SimulatedFiles(image)
        ticket = assert_recovered(recovered_state(again), work.domain, confirmed, appended)
        cut += any(operation.kind == "resize" for operation in again.log)
        for done, second in crash_images(image, again.log, seed=seed, mixtures=2):
            low = ticket if done == len(again.log) else confirmed
            high = ticket if done == len(again.log) else appended
            assert_recovered(recovered_state(SimulatedFiles(second)), work.domain, low, high)
    assert cut, "no torn tail was ever cut"


@pytest.mark.parametrize("seed", range(300, 303))
def test_work_goes_on_after_a_crash_and_is_safe_against_the_next(seed: int) -> None:
    """A crash, a recovery, more work, and a crash at any moment of that."""
    work = Workload(seed)
    for generation in range(4):
        work.run(40)
        images = list(moments(work.simulated, seed=generation, mixtures=2))
        *_, image = work.chance.choice(images[len(images) // 2 :])
        work = Workload(seed + generation, image)
        work.run(25)
        for done, confirmed, appended, later in moments(work.simulated, seed=generation, mixtures=2):
            if done >= work.opened:
                found = recovered_state(SimulatedFiles(later))
                assert_recovered(found, work.domain, confirmed, appended)


@pytest.mark.parametrize("seed", range(400, 404))
def test_power_cut_after_a_killed_process_was_restarted_keeps_what_the_restart_found(seed: int) -> None:
    """What a restart found in the page cache is built upon, so it must be synced before anything else is."""
    work = Workload(seed)
    work.run(60)
    again = Workload(seed + 1, work.kill())
    again.run(25)
    for done, confirmed, appended, image in moments(again.simulated, seed=seed, mixtures=3):
        if done > again.opened:
            assert_recovered(recovered_state(SimulatedFiles(image)), again.domain, confirmed, appended)


def test_damage_to_the_newer_of_two_checkpoints_is_survived_or_refused() -> None:
    """A damaged checkpoint never silently gives an older state than the one confirmed."""
    work = Workload(5)
    work.run(150)
    survived = refused = 0
    for _, confirmed, appended, image in moments(work.simulated, seed=5, mixtures=2):
        files = SimulatedFiles(image)
        numbers = checkpoint_numbers(files, FOLDER)
        if not numbers:
            continue
        path = checkpoint_path(FOLDER, numbers[-1])
        damaged = {**image.files, path: image.files[path][:-3] + b"?" + image.files[path][-2:]}
        try:
            found = recovered_state(SimulatedFiles(Image(image.folders, damaged)))
        except StoreError:
            refused += 1
        else:
            assert_recovered(found, work.domain, confirmed, appended)
            survived += 1
    assert survived
    assert refused
