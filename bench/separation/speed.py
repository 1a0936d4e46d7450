"""How fast the full model separates: ours, Demucs' own, ONNX Runtime and OpenVINO, taking turns on one machine.

    python -m bench.separation.speed [--seconds 60] [--rounds 2] [--only "MSaaS fp32" …] [--verdicts FOLDER]
    python -m bench.separation.speed --steps             what each part of our engine adds, the model alone
    python -m bench.separation.speed --halves            how near half precision comes, hardware for it or not
    python -m bench.separation.speed --profile           where the time of a segment goes in our engine

The network is exactly htdemucs' (41,984,456 parameters) with seeded weights, layer scales of ordinary size so that
errors show. Whole jobs go from FLAC to four MP3s of 320 kb/s; the model alone is one segment of 7.8 s. Signal to
difference is from Demucs' own stems of that segment. Memory is the largest of the process and its children. Each run
writes a record to bench/results; bench.separation.results compares two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from demucs.states import get_state, save_with_checksum
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from bench.separation import results
from bench.separation.contenders import CONTENDERS, RATE, STEPS
from bench.separation.memory import make_song
from bench.support.watching import Watch
from msaas.separation import PROCESS_ENVIRONMENT
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.selection import CHECKED_FRACTION
from tests.support.models.full_model import SEGMENT_SECONDS, htdemucs

STOCK = "demucs (API)"
MODEL = "htdemucs_seeded"
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="msaas-speed-") as scratch:
        folder = Path(scratch)
        job, flop = _prepare(folder, options)
        if options.halves:
            _halves(torch.from_numpy(np.load(job["segment"])))
            return
        if options.profile:
            _profile(torch.from_numpy(np.load(job["segment"])))
            return
        if options.steps:
            options.only = list(STEPS)
        gemm = matrix_peak()
        print(f"{machine()}; matrix products {gemm / 1e9:.0f} GFLOP/s; a segment is {flop / 1e9:.0f} GFLOP", flush=True)
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
        for _ in range(options.rounds):
            for name in options.only:
                rows[name].append(run(name, job, folder))
                print(f"  {name}: {json.dumps(rows[name][-1])}", file=sys.stderr, flush=True)
    medians = {name: _median(found) for name, found in rows.items()}
    kind = "steps" if options.steps else "speed"
    record = results.write(kind, medians, {"seconds": options.seconds, "rounds": options.rounds})
    print(f"record: {record}", file=sys.stderr)
    if options.steps:
        _tell_steps(medians)
    else:
        _tell(medians, options.seconds, flop / gemm)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="length of the song")
    parser.add_argument("--rounds", type=int, default=2, help="the median of them counts")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--verdicts", default="", help="folder of remembered engines; without it each is checked")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--halves", action="store_true", help="takes minutes where torch has to imitate them")
    parser.add_argument("--profile", action="store_true", help="on one thread, as a segment runs beside others")
    return parser.parse_args()


# --- what they work on


def _prepare(folder: Path, options: argparse.Namespace) -> tuple[dict[str, str], float]:
    network = seeded_htdemucs()
    song = make_song(folder, options.seconds / 60)
    generator = np.random.default_rng(1)
    segment = generator.standard_normal((1, 2, int(SEGMENT_SECONDS * RATE))).astype(np.float32)
    np.save(folder / "segment.npy", segment)
    job = {"repo": str(save(network, folder)), "model": MODEL, "song": str(song)}
    job |= {"segment": str(folder / "segment.npy"), "stems": str(folder / "stems.npy"), "onnx": ""}
    job["verdicts"] = options.verdicts
    if {"ONNX Runtime", "OpenVINO"} & set(options.only) and not (options.steps or options.halves or options.profile):
        job["onnx"] = str(folder / "core.onnx")
        began = time.monotonic()
        _export(network, torch.from_numpy(segment), job["onnx"])
        print(f"exported to ONNX in {time.monotonic() - began:.0f} s", flush=True)
    return job, _flop(network, torch.from_numpy(segment))


def save(network: HTDemucs, folder: Path) -> Path:
    """A repository that holds the network as MODEL."""
    repo = folder / "repo"
    repo.mkdir()
    args, kwargs = network._init_args_kwargs
    state = get_state(network, quantizer=None, half=False)
    content = {"klass": HTDemucs, "args": args, "kwargs": kwargs, "state": state, "training_args": {}}
    save_with_checksum(content, repo / "seeded.th")
    (repo / f"{MODEL}.yaml").write_text("models: ['seeded']\n")
    return repo


def seeded_htdemucs() -> HTDemucs:
    torch.manual_seed(0)
    network = htdemucs().eval()
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):
            nn.init.uniform_(parameter, 0.1, 0.3)
    return network


class _Core(nn.Module):
    """The network between its spectrograms: neither ONNX nor OpenVINO knows complex numbers."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, mix: torch.Tensor, image: torch.Tensor) -> Any:
        kept: list[torch.Tensor] = []
        network: Any = self.network
        network._spec, network._magnitude = lambda _mix: image, lambda z: z
        network._mask = lambda _z, spectrum: kept.append(spectrum)
        network._ispec = lambda _z, _length: 0
        try:
            return network(mix), kept[0]
        finally:
            for name in ("_spec", "_magnitude", "_mask", "_ispec"):
                delattr(network, name)


def _export(network: HTDemucs, mix: torch.Tensor, path: str) -> None:
    image = network._magnitude(network._spec(mix)).contiguous()  # type: ignore[no-untyped-call]
    torch.backends.mha.set_fastpath_enabled(False)
    names: dict[str, Any] = {"input_names": ["mix", "image"], "output_names": ["wave", "spectrum"]}
    with warnings.catch_warnings(action="ignore"):  # of an exporter that is to go, and of sizes that are taken as fixed
        torch.onnx.export(_Core(network), (mix, image), path, dynamo=False, opset_version=17, **names)


def _flop(network: HTDemucs, mix: torch.Tensor) -> float:
    """Of one segment, counted in every matrix product and convolution; two for a multiplication and its sum."""
    torch.backends.mha.set_fastpath_enabled(False)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # torch's counter knows it by other names
    count = FlopCounterMode(display=False, custom_mapping={attention: _attention_flop})
    with torch.inference_mode(), count:
        network(mix)
    return float(count.get_total_flops())


def _attention_flop(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Shapes [B, heads, N, C] and [B, heads, M, C]: two products, of N × C × M and N × M × C."""
    batch, heads, rows, channels = query
    return 2 * batch * heads * rows * key[2] * (channels + value[3])


def matrix_peak(size: int = 2048, tries: int = 8) -> float:
    """Floating-point operations a second of float32 matrix products, the best of some, on all of torch's threads."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(tries):
        began = time.monotonic()
        torch.mm(one, other)
        seconds.append(time.monotonic() - began)
    return 2 * size**3 / min(seconds)


# --- running and telling


def run(name: str, job: dict[str, str], folder: Path) -> dict[str, Any]:
    """What a contender says of itself, and its memory."""
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job))
    environment = dict(os.environ) if name.startswith("demucs") else {**PROCESS_ENVIRONMENT, **os.environ}
    command = [sys.executable, "-m", "bench.separation.contenders", name, str(job_file)]
    with (
        tempfile.TemporaryFile("w+") as said,  # progress bars, for the most part
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        watch = Watch(process.pid, every_seconds=0.25)  # more often takes a core's time from those that use all of it
        answer, _ = process.communicate()
        peak_mib = watch.end() / (1 << 20)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{name} ended with {process.returncode}: {said.read()[-2000:]}")
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    found["peak_mib"] = round(peak_mib)
    stems = Path(job["stems"])
    if stems.exists():
        found["snr_db"] = _snr_db(np.load(stems), folder / "stock.npy", is_stock=name == STOCK)
        stems.unlink()
    return found


def _snr_db(stems: np.ndarray, stock: Path, *, is_stock: bool) -> float | None:
    """None where Demucs' own are not there to compare with."""
    if is_stock:
        np.save(stock, stems)
    if is_stock or not stock.exists():
        return None
    return _snr_of(stems, np.load(stock))


def _snr_of(made: np.ndarray, wanted: np.ndarray) -> float:
    want = wanted.astype(np.float64)
    return round(float(10 * np.log10((want**2).sum() / ((made - want) ** 2).sum())), 1)


def _median(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = ("job_seconds", "job_cpu_seconds", "segment_seconds", "first_seconds", "peak_mib")
    row = {name: statistics.median(found[name] for found in rows) for name in numbers if name in rows[0]}
    return rows[0] | row


def _tell(rows: dict[str, dict[str, Any]], seconds: float, ideal_seconds: float) -> None:
    """ideal_seconds: a segment's at the matrix peak."""
    stock = rows.get(STOCK, {})
    print()
    print("| | audio s/s, whole job | ratio | model, s a segment | ratio | of peak | signal/difference, dB "
          "| peak MiB | start to first segment, s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        alone = row.get("segment_seconds")
        cells = [
            name,
            f"{seconds / row['job_seconds']:.2f}",
            f"{stock['job_seconds'] / row['job_seconds']:.2f}" if stock else "",
            f"{alone:.2f}" if alone else "",
            f"{stock['segment_seconds'] / alone:.2f}" if alone and stock else "",
            f"{ideal_seconds / alone:.0%}" if alone else "",
            f"{row['snr_db']:g}" if row.get("snr_db") else "",
            f"{row['peak_mib']:.0f}",
            f"{row['first_seconds']:.1f}" if "first_seconds" in row else "",
        ]
        print(f"| {' | '.join(cells)} |")


def _tell_steps(rows: dict[str, dict[str, Any]]) -> None:
    first = next(iter(rows.values()))["segment_seconds"]
    print("\n| | s a segment | ratio | peak MiB |\n|---|---|---|---|")
    for name, row in rows.items():
        alone = row["segment_seconds"]
        print(f"| {name} | {alone:.2f} | {first / alone:.2f} | {row['peak_mib']:.0f} |")


@torch.inference_mode()
def _halves(segment: torch.Tensor) -> None:
    """Of the whole segment, and of the part of it that a worker checks with as it loads."""
    network, device = seeded_htdemucs(), torch.device("cpu")
    network.use_train_segment = False
    part = segment[..., : int(segment.shape[-1] * CHECKED_FRACTION)]
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        engine = ChannelsLast(network, device, dtype)
        near = [_snr_of(engine(sound).numpy(), network(sound).numpy()) for sound in (segment, part)]
        print(f"{dtype}: {near[0]} dB, {near[1]} of the part that is checked", flush=True)


@torch.inference_mode()
def _profile(segment: torch.Tensor) -> None:
    """Seconds that torch's operations took themselves, those of 2 % and more."""
    torch.set_num_threads(1)
    engine = ChannelsLast(seeded_htdemucs(), torch.device("cpu"))
    engine(segment)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        engine(segment)
    microseconds = {found.key: found.self_cpu_time_total for found in seen.key_averages()}
    total = sum(microseconds.values())
    print(f"| {machine()} | s | part |\n|---|---|---|")
    for name, took in sorted(microseconds.items(), key=lambda item: -item[1]):
        if took >= 0.02 * total:
            print(f"| `{name}` | {took / 1e6:.2f} | {took / total:.0%} |")


def machine() -> str:
    return "{cpu}, {threads} threads, {capability}".format_map(results.machine_facts())


if __name__ == "__main__":
    main()
