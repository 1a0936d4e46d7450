"""What each of the engine's kernels is worth: processor seconds of a segment on one thread, taking turns.

    python -m bench.separation.kernels [--rounds 3] [--precisions fp32 bf16]

Processor time, so that other work on the machine counts little. Each row adds one kernel to the row above. Signal to
difference is from the module's own forward of the same segment.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from bench.separation import results
from bench.separation.speed import RATE, SEGMENT_SECONDS, machine, seeded_htdemucs
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.htdemucs.fastest import fastest_kernels
from msaas.separation.engines.htdemucs.kernels import Kernels

ORDER = ("split_gates", "folded_norms", "packed", "fused_gelu", "composed_attention", "int8", "half_gates", "compiled")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
OWN = "the module's own forward"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="the median of them counts")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    fastest = {name: fastest_kernels(PRECISIONS[name]) for name in dict.fromkeys(("fp32", *options.precisions))}
    print(machine(), *(f"{name}: {', '.join(found.names())}" for name, found in fastest.items()), sep="\n")
    forwards = _forwards(options.precisions, fastest)
    generator = np.random.default_rng(1)
    segment = torch.from_numpy(generator.standard_normal((1, 2, int(SEGMENT_SECONDS * RATE))).astype(np.float32))
    rows = _rows(forwards, segment, options.rounds)
    print("\n| | processor s a segment | ratio | dB |\n|---|---|---|---|")
    own = rows[OWN]["cpu_seconds"]
    for name, row in rows.items():
        print(f"| {name} | {row['cpu_seconds']:.2f} | {own / row['cpu_seconds']:.2f} | {row.get('snr_db', '')} |")
    results.write("kernels", rows, {"rounds": options.rounds})


def _forwards(precisions: list[str], fastest: dict[str, Kernels]) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    network, device = seeded_htdemucs(), torch.device("cpu")
    forwards: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {OWN: network}
    for precision in precisions:
        dtype, label, used = PRECISIONS[precision], f"{precision}, torch's public kernels", set[str]()
        forwards[label] = ChannelsLast(network, device, dtype)
        for kernel in (one for one in ORDER if one in fastest[precision].names()):
            used.add(kernel)
            chosen = {
                PRECISIONS[name]: Kernels.of([one for one in ORDER if one in used & set(found.names())])
                for name, found in fastest.items()
            }
            forwards[f"{precision}, + {kernel}"] = ChannelsLast(network, device, dtype, chosen)
    return forwards


@torch.inference_mode()
def _rows(
    forwards: dict[str, Callable[[torch.Tensor], torch.Tensor]], segment: torch.Tensor, rounds: int
) -> results.Rows:
    outputs = {name: forward(segment) for name, forward in forwards.items()}
    seconds: dict[str, list[float]] = {name: [] for name in forwards}
    for _ in range(rounds):
        for name, forward in forwards.items():
            began = time.thread_time()
            forward(segment)
            seconds[name].append(time.thread_time() - began)
    rows: results.Rows = {name: {"cpu_seconds": statistics.median(took)} for name, took in seconds.items()}
    for name in (name for name in forwards if name != OWN):
        error = (outputs[name] - outputs[OWN]).double().square().sum()
        rows[name]["snr_db"] = round(float(10 * torch.log10(outputs[OWN].double().square().sum() / error)), 1)
    return rows


if __name__ == "__main__":
    main()
