"""A process that is killed while it renders: another renders the mix again, and nothing of the first is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from msaas import scratch
from msaas.mixing.run import MixRun
from msaas.storage import OUTPUTS

KILLED = """
import os, signal
from msaas import failpoints
from msaas.settings import Settings
from msaas.telemetry.metrics import Metrics
from msaas.wiring.background import build_mixers, build_mixes
from msaas.wiring.stores import build_queue, build_storage

settings = Settings.from_env(os.environ)
queue = build_queue(settings)
mixes = build_mixes(settings, queue.redis, Metrics())
failpoints.arm("after-mixing", lambda: os.kill(os.getpid(), signal.SIGKILL))
build_mixers(settings, queue, mixes, build_storage(settings))[0].turn()
"""


def test_a_mix_of_a_killed_process_is_rendered_again_and_nothing_of_it_is_left(
    studio, make_song, environ, redis, storage, settings
):
    song = make_song()
    mix = studio.post(song, format="wav").json["songhash"]
    killed = subprocess.run([sys.executable, "-c", KILLED], env=os.environ | environ, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert studio.view(mix)["state"] == "running"
    assert [path.name for path in settings.scratch_dir.glob(f"{MixRun.prefix}*")]
    assert f"{mix}-mix.wav" not in {item.name for item in storage.names(OUTPUTS)}
    redis.zadd("toMixers:leases", {mix: 1})  # its lease expires
    assert studio.mixes.reap() == {mix: "queued"}
    assert scratch.sweep(settings.scratch_dir, MixRun.prefix) == 1
    studio.renderer.turn()
    view = studio.view(mix)
    assert (view["state"], view["attempts"]) == ("done", 2)
    assert studio.heard(view)[0].shape == (2, song.samples)
    assert list(settings.scratch_dir.glob(f"*{MixRun.prefix}*")) == []
