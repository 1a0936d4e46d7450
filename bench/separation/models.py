"""Speed and memory of each family of networks at the configurations that people use, with seeded weights.

    python -m bench.separation.models [--families scnet mdx23c ...] [--seconds 2] [--rounds 3] [--memory 3 60]

Processor seconds (of all cores together) a second of audio, of one forward without overlap: the library's own module,
ours in float32, and ours in bfloat16 where the CPU has it, with its signal-to-difference ratio. A song takes
`num_overlap` times as much, divided among the cores. Wall time would depend on what else the machine does. Each run is
a process of its own; beside them stands the largest resident memory of ours in float32. --seconds: of audio in a
forward, instead of the configuration's chunk. --rounds: the three take turns so often, and the fastest of each counts;
0 leaves them out.
--memory: in addition, the peak memory of a job with a small network of each family on songs of so many minutes; refuses
(exit 1) growth over 10 %.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msaas.separation import PROCESS_ENVIRONMENT

RUNS = ("library", "fp32", "bf16")
MEMORY_CHUNK_SAMPLES = 343 * 512  # four seconds, of a length that MDX23C accepts


def main() -> int:
    options = _options()
    if options.child:
        print(json.dumps(_run(options.families[0], options.child, options.seconds)))
        return 0
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}\n\n| | library | fp32 | bf16 | dB | fp32 / library | peak, MiB |")
    print("|---|---|---|---|---|---|---|")
    for family in options.families if options.rounds else ():
        rounds = [{run: _in_child(family, run, options.seconds) for run in RUNS} for _ in range(options.rounds)]
        fastest = {run: min((each[run] for each in rounds), key=lambda measured: measured["rate"]) for run in RUNS}
        print(_row(family, fastest), flush=True)
    return _memory(options.families, options.memory) if options.memory else 0


def _options() -> argparse.Namespace:
    from tests.support.models.families import REAL

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=tuple(REAL), default=list(REAL))
    parser.add_argument("--seconds", type=float, help="of audio in a forward; by default the configuration's chunk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, nargs="+", metavar="MINUTES", help="lengths of songs")
    parser.add_argument("--child", choices=RUNS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_child(family: str, run: str, seconds: float | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.separation.models", "--families", family, "--child", run]
    command += ["--seconds", str(seconds)] if seconds else []
    environment = {**PROCESS_ENVIRONMENT, **os.environ}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    measured: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return measured


def _row(family: str, measured: dict[str, dict[str, Any]]) -> str:
    library, ours, half = (measured[run] for run in RUNS)
    half_columns = f"{half['rate']:.2f} | {half['db']:.0f}" if half["rate"] else "– | –"
    ratio = ours["rate"] / library["rate"]
    rates = f"{library['rate']:.2f} | {ours['rate']:.2f}"
    return f"| {family} | {rates} | {half_columns} | {ratio:.2f} | {ours['peak_mib']} |"


def _run(family: str, run: str, seconds: float | None) -> dict[str, Any]:
    """One forward after a short one, in this process. "library": the module of pymss-core as it is."""
    import torch

    from msaas.separation.engines.engine import Autocast, TorchEngine, cpu_threads
    from msaas.separation.engines.selection import has_bf16
    from tests.support.models.families import REAL, seeded_network, write_config

    torch.set_num_threads(cpu_threads())
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(REAL[family], Path(folder) / "config.yaml")
    module = seeded_network(config, **({"prepare": lambda _network: None} if run == "library" else {}))
    samples = _samples(family, config.chunk_samples, module.check_samples, seconds)
    sound = torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0)) * 0.1
    device = torch.device("cpu")
    plain = TorchEngine(module, device)
    if run == "bf16" and not has_bf16():
        return {"rate": 0}
    engine = Autocast(plain, device, torch.bfloat16) if run == "bf16" else plain
    engine.forward(sound[..., : module.check_samples])
    began = time.process_time()
    output = engine.forward(sound)
    rate = (time.process_time() - began) * config.sample_rate / samples
    measured = {"rate": rate, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}
    if run == "bf16":
        short = sound[..., : module.check_samples]
        measured["db"] = (
            _db(engine.forward(short), plain.forward(short)) if seconds else _db(output, plain.forward(sound))
        )
    return measured


def _samples(family: str, chunk: int, check: int, seconds: float | None) -> int:
    """MDX23C takes its chunk or, of what is shorter, the length of its check."""
    if not seconds:
        return chunk
    return check if family == "mdx23c" else int(seconds * 44_100)


def _db(actual: Any, expected: Any) -> float:
    difference = (actual - expected).double().pow(2).sum() + 1e-20
    return float(10 * (expected.double().pow(2).sum() / difference).log10())


def _memory(families: list[str], minutes: list[float]) -> int:
    from tests.support.models.families import SMALL, write_model

    failed = 0
    with tempfile.TemporaryDirectory(prefix="msaas-models-") as folder:
        for family in families:
            write_model(Path(folder), family, _in_long_chunks(SMALL[family]))
            print(f"\n{family}, small", flush=True)
            command = [sys.executable, "-m", "bench.separation.memory", "--no-demucs", "--model", family]
            command += ["--repo", folder, "--format", "flac", "--minutes", *map(str, minutes)]
            failed |= subprocess.run(command, check=False).returncode
    return failed


def _in_long_chunks(content: dict[str, Any]) -> dict[str, Any]:
    """The configuration with chunks of four seconds: an hour takes minutes, since RoFormers take 60 bands a chunk one
    after the other."""
    return content | {"audio": content["audio"] | {"chunk_size": MEMORY_CHUNK_SAMPLES}}


if __name__ == "__main__":
    sys.exit(main())
