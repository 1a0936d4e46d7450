"""What the soak calls growth, with made-up samples of an hour: leaks are found, warm-up is not one."""

import math
import random

import pytest

from bench.soak.samples import MAX_DESCRIPTORS, Sample, Series, crowded, growing

MINUTES, EVERY_SECONDS = 60, 5.0


def series(rss=lambda _hours: 90.0, descriptors=lambda _hours: 95.0, *, noise=1.5, seed=1, pids=(1,), minutes=MINUTES):
    chance = random.Random(seed)
    samples = []
    for number in range(int(minutes * 60 / EVERY_SECONDS)):
        seconds = number * EVERY_SECONDS
        hours = seconds / 3600
        memory = rss(hours) + chance.gauss(0, noise)
        samples.append(Sample(seconds, memory, memory, round(descriptors(hours) + chance.gauss(0, 2)), 46))
    return {"API": Series(samples, set(pids))}


def warm_up(hours):
    """85 to 125 MiB, as measured before the number of arenas was limited: most of it in ten minutes."""
    return 125 - 40 * math.exp(-hours * 8)


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_10_mib_per_hour_is_found(seed):
    assert any("rss" in line for line in growing(series(lambda hours: 90 + 10 * hours, seed=seed)))


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_during_warm_up_is_found(seed):
    assert any("rss" in line for line in growing(series(lambda hours: warm_up(hours) + 10 * hours, seed=seed)))


@pytest.mark.parametrize("seed", range(20))
def test_warm_up_that_levels_off_is_no_growth(seed):
    assert not list(growing(series(warm_up, seed=seed)))


@pytest.mark.parametrize("seed", range(20))
def test_constant_memory_with_noise_is_no_growth(seed):
    assert not list(growing(series(noise=8, seed=seed)))


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_that_begins_late_is_found(seed):
    assert any("rss" in line for line in growing(series(lambda hours: 90 + max(0, hours - 0.6) * 40, seed=seed)))


def test_a_descriptor_that_leaks_every_six_minutes_is_found():
    found = list(growing(series(descriptors=lambda hours: 95 + 10 * hours)))
    assert len(found) == 1
    assert "descriptors" in found[0]


def test_more_descriptors_than_pools_and_clients_explain_are_found():
    most = MAX_DESCRIPTORS["API"]
    assert list(crowded(series(descriptors=lambda _hours: most + 20)))
    assert not list(crowded(series()))


def test_a_process_that_was_replaced_and_a_short_run_are_not_judged():
    leak = lambda hours: 90 + 100 * hours  # noqa: E731 - one line
    assert not list(growing(series(leak, pids=(1, 2))))
    assert not list(growing(series(leak, minutes=20)))
