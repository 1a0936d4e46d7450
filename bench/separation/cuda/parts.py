"""The measurements of bench.separation.cuda. Each yields rows, ready for JSON; they run on a CPU, too."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bench.separation.speed import save
from msaas.options import Options
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.htdemucs.common import Norm, nchw, nhwc
from msaas.separation.engines.tf32 import without_tf32
from msaas.separation.engines.turns import song_in_turn
from msaas.separation.pipeline import Separator, separate_song
from msaas.separation.weights.loader import load_model

MODEL = "htdemucs_seeded"
Row = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """What is measured. seconds: of the song, whose samples are `mix` [C, n]."""

    network: Any
    device: torch.device
    song: Path
    mix: Tensor
    seconds: float
    batches: tuple[int, ...] = (1, 8, 32)
    repeats: int = 6

    @property
    def segment_samples(self) -> int:
        return int(self.network.segment * self.network.samplerate)

    @property
    def half(self) -> torch.dtype:
        return torch.float16 if self.device.type == "cuda" else torch.bfloat16

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def free(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


# --- the model alone


def alone(setup: Setup) -> Iterator[Row]:
    """Demucs' forward and ours, by precision and batch. dB against Demucs' in exact float32."""
    network, device = setup.network.to(setup.device), setup.device
    segment = 0.1 * torch.randn(1, 2, setup.segment_samples, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        with without_tf32():
            want = network(segment.to(device)).cpu()
            yield from _forwards(setup, "Demucs, fp32", network, segment, want)
        yield from _forwards(setup, "Demucs, as torch has it", network, segment, want)
        for dtype in (torch.float32, setup.half):
            name = f"MSaaS, {str(dtype).removeprefix('torch.')}"
            engine = ChannelsLast(network, device, dtype)
            yield from _forwards(setup, name, engine, segment, want)
            with torchs_own_norms():
                yield from _forwards(setup, f"{name}, torch's group norm", engine, segment, want)


@contextmanager
def torchs_own_norms() -> Iterator[None]:
    """Within this context a card computes group norms by torch's kernel."""
    ours = Norm.__call__

    def norm(self: Norm, x: Tensor) -> Tensor:
        if not self.groups:
            return x
        return nhwc(torch.nn.functional.group_norm(nchw(x), self.groups, self.weight, self.bias, self.eps))

    Norm.__call__ = norm  # type: ignore[method-assign]
    try:
        yield
    finally:
        Norm.__call__ = ours  # type: ignore[method-assign]


def _forwards(
    setup: Setup, name: str, forward: Callable[[Tensor], Tensor], segment: Tensor, want: Tensor
) -> Iterator[Row]:
    for batch in setup.batches:
        yield {"what": "model alone", "who": name, "batch": batch, **_timed(setup, forward, segment, batch, want)}
        setup.free()


def _timed(setup: Setup, forward: Callable[[Tensor], Tensor], segment: Tensor, batch: int, want: Tensor) -> Row:
    try:
        mix = segment.repeat(batch, 1, 1).to(setup.device)
        made = forward(mix)[:1].float().cpu()
        setup.wait()
        began = time.monotonic()
        for _ in range(setup.repeats):
            forward(mix)
        setup.wait()
    except torch.OutOfMemoryError as error:
        return {"failed": str(error)[:100]}
    seconds = (time.monotonic() - began) / setup.repeats / batch
    stride = 0.75 * setup.segment_samples / 44_100  # of song that a segment stands for
    return {"ms": round(seconds * 1000, 2), "realtime": round(stride / seconds), "db": _snr_db(made, want)}


def _snr_db(made: Tensor, want: Tensor) -> float:
    difference = (made - want).double().square().sum() + 1e-20
    return round(float(10 * torch.log10(want.double().square().sum() / difference)), 1)


def operations(setup: Setup) -> Iterator[Row]:
    """Where the card's time goes at batch 8, in percent."""
    engine = ChannelsLast(setup.network, setup.device, setup.half)
    mix = 0.1 * torch.randn(min(8, max(setup.batches)), 2, setup.segment_samples, device=setup.device)
    on_card = setup.device.type == "cuda"
    engine(mix)
    setup.wait()
    with profile(activities=[ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU]) as seen:
        engine(mix)
        setup.wait()
    kind = "self_device_time_total" if on_card else "self_cpu_time_total"
    times = sorted(((getattr(row, kind), row.key) for row in seen.key_averages()), reverse=True)
    total = sum(time for time, _ in times)
    for took, name in times[:12]:
        yield {"what": "operations", "name": name[:70], "percent": round(100 * took / max(total, 1e-9), 1)}


# --- whole jobs


def demucs_job(setup: Setup) -> Iterator[Row]:
    """apply_model on the device, then four MP3s one after the other, as Demucs does; without its encoder (the extra
    `bench`) the stems alone."""
    from demucs.apply import apply_model

    network, mix = setup.network.to(setup.device), setup.mix[None]

    def separate() -> Tensor:
        mean, std = mix.mean(), mix.std()
        stems: Tensor = apply_model(network, (mix - mean) / std, device=setup.device, shifts=0, progress=False)
        return (stems[0] * std + mean).cpu()

    if setup.device.type == "cuda":
        separate()  # cuDNN chooses its algorithms
    began = time.monotonic()
    stems = separate()
    model = time.monotonic() - began
    encoder = find_spec("lameenc")
    if encoder is not None:
        from demucs.audio import encode_mp3

        with tempfile.TemporaryDirectory() as out:
            for number, stem in enumerate(stems):
                encode_mp3(stem, Path(out) / f"{number}.mp3")
    took = time.monotonic() - began
    yield _job("Demucs", setup, took, format="mp3" if encoder else "none", model_seconds=round(model, 2))


def our_jobs(setup: Setup) -> Iterator[Row]:
    """By precision, format and batch, one song at a time; then several in flight, seconds a song."""
    with tempfile.TemporaryDirectory() as folder:
        repo = save(setup.network.cpu(), Path(folder))
        for precision, batch, tries in (("auto", 0, ("mp3", "flac", "wav")), ("auto", 32, ("flac",))):
            separator = _separator(setup, repo, precision, batch)
            _songs(separator, setup, "wav", 1, 1)  # a first run allocates and chooses algorithms
            for form in tries:
                yield _ours(separator, setup, form, 1, 1)
            if not batch:
                for in_flight in (2, 3):
                    yield _ours(separator, setup, "flac", 2 * in_flight, in_flight)
            del separator
            setup.free()


def _separator(setup: Setup, repo: Path, precision: str, batch: int) -> Separator:
    model = load_model(MODEL, repo=repo, sources=[])
    return Separator(model, setup.device, batch, precision=precision)


def _ours(separator: Separator, setup: Setup, form: str, songs: int, in_flight: int) -> Row:
    took = _songs(separator, setup, form, songs, in_flight) / songs
    engine = separator.choices[0]
    return _job(
        "MSaaS",
        setup,
        took,
        format=form,
        batch=separator.batch,
        in_flight=in_flight,
        engine=f"{engine['layout']} {engine['precision']} {engine['snr_db']}",
    )


def _songs(separator: Separator, setup: Setup, form: str, songs: int, in_flight: int) -> float:
    def one(_number: int) -> None:
        with tempfile.TemporaryDirectory() as out, song_in_turn():
            options = Options.parse({"format": form}, default_model=MODEL, allowed=(MODEL,))
            separate_song(lambda _model: separator, setup.song, Path(out), options, analyse=True)

    began = time.monotonic()
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(one, range(songs)))
    return time.monotonic() - began


def _job(who: str, setup: Setup, seconds: float, **more: Any) -> Row:
    return {
        "what": "whole job",
        "who": who,
        "seconds": round(seconds, 2),
        "realtime": round(setup.seconds / seconds, 1),
        **more,
    }
