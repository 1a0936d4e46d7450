"""Processor seconds and peak memory of museval's SDR, on noise: neither depends on the sound.

python -m bench.separation.frame_sdr [--minutes 4] [--stems 4]
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from msaas.evaluation.metrics import frame_sdr

RATE = 44_100


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--stems", type=int, default=4)
    options = parser.parse_args()
    generator, shape = np.random.default_rng(0), (2, round(options.minutes * 60 * RATE))
    stems = [generator.standard_normal(shape, np.float32) for _ in range(options.stems)]
    estimates = [stem + 0.5 * generator.standard_normal(shape, np.float32) for stem in stems]
    began = time.process_time()
    frame_sdr(stems, estimates, RATE)
    seconds, peak_mib = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{options.minutes:g} minutes, {options.stems} stems: {seconds:.0f} s of a processor, peak {peak_mib} MiB")


if __name__ == "__main__":
    main()
