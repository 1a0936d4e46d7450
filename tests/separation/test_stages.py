"""A song's way in stages: what is read ahead, what is done behind, and how both end."""

import threading

import numpy as np
import pytest

from bench.separation.flight.stand_in import StandIn, stand_in_separator
from msaas.errors import Cancelled
from msaas.options import Options
from msaas.separation.concurrency.stages import Behind, ReadAhead
from tests.support.audio.sounds import flac, tune

SECONDS = 60
OPTIONS = Options.parse({"format": "wav"}, default_model="stand-in", allowed=("stand-in",))


def counted(items, read):
    for item in items:
        read.append(item)
        yield item


def test_items_come_in_order_and_no_more_than_asked_for_are_read_ahead():
    read = []
    with ReadAhead(counted(range(100), read), 3) as ahead:
        assert read == []
        assert next(ahead) == 0
    assert len(read) <= 3
    with ReadAhead(iter(range(100)), 3) as ahead:
        assert list(ahead) == list(range(100))


def test_an_error_of_reading_comes_in_its_place():
    def failing():
        yield 1
        raise Cancelled("stopped")

    with ReadAhead(failing(), 5) as ahead:
        assert next(ahead) == 1
        with pytest.raises(Cancelled):
            next(ahead)


def test_what_is_read_may_be_closed_after_the_context():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread() is threading.main_thread())

    source = items()
    with ReadAhead(source, 4) as ahead:
        next(ahead)
    source.close()
    assert closed == [True]


def test_all_items_are_done_behind_in_their_order_and_a_bounded_number_waits():
    done, go, handed = [], threading.Event(), []

    def work(item):
        go.wait(SECONDS)
        done.append(item)

    def hand_over():
        with Behind(work, 2) as behind:
            for item in range(10):
                behind(item)
                handed.append(item)

    thread = threading.Thread(target=hand_over)
    thread.start()
    thread.join(0.2)
    assert done == [] and len(handed) <= 2
    go.set()
    thread.join(SECONDS)
    assert done == handed == list(range(10))


def test_an_error_behind_is_raised_and_later_items_are_dropped():
    done = []

    def work(item):
        if item == 1:
            raise ValueError("broken")
        done.append(item)

    with pytest.raises(ValueError, match="broken"), Behind(work, 1) as behind:
        for item in range(10):
            behind(item)
    with pytest.raises(ValueError, match="broken"), Behind(work, 5) as behind:
        behind(1)  # its error is noticed at the end
    assert done in ([0], [0, 2])


def test_an_error_of_the_caller_waits_for_what_is_being_done_alone():
    done = []
    with pytest.raises(KeyError), Behind(done.append, 5) as behind:
        behind(0)
        raise KeyError
    assert done in ([], [0])


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song"
    path.write_bytes(flac(tune(20.0)))
    return path


def separated(song, folder, *, in_stages, **more):
    separator = stand_in_separator(StandIn(0.0), batch=2)
    separator.in_stages = in_stages
    waveforms = []
    result = separator.separate_song(
        song, folder, OPTIONS, analyse=True, on_waveforms=lambda found: waveforms.append(found.done_samples), **more
    )
    stems = {stem: path.read_bytes() for stem, path in result.stems.items()}
    return stems, result.analysis, waveforms


def test_stems_waveforms_and_analysis_are_the_same_in_one_thread_and_in_stages(song, tmp_path):
    one, staged = (separated(song, tmp_path / str(stages), in_stages=stages) for stages in (False, True))
    assert one == staged
    assert len(one[0]) == 4 and np.diff(one[2]).min() >= 0


def test_a_cancelled_song_leaves_no_stems_and_no_threads(song, tmp_path):
    before, calls = threading.active_count(), []

    def stop():
        calls.append(1)
        return len(calls) > 60

    with pytest.raises(Cancelled):
        separated(song, tmp_path / "out", in_stages=True, stop=stop)
    assert list((tmp_path / "out").iterdir()) == []
    assert threading.active_count() <= before
