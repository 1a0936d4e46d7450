"""Writes a song's stems in parallel, each in its own thread, at most a few blocks ahead of the slowest.

Encoders release the interpreter's lock, so they work while the network does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

import numpy as np

from msaas.audio.decode.decoder import DecodeReport
from msaas.audio.encode.converted import Sound
from msaas.audio.encode.writer import Writer, common_gain
from msaas.errors import SeparationError
from msaas.formats import SOURCE_RATE, format_named
from msaas.options import Options
from msaas.separation.mixture import Samples

BLOCKS_AHEAD = 2  # per stem; a block is as long as a batch of segments, a few megabytes
PIECE_SAMPLES = 1 << 16
PROGRESS_SECONDS = 1.0


def saved_sound(options: Options, made: Sound, decoding: DecodeReport) -> Sound:
    """What stems are saved as. At the song's own rate they have exactly its samples, unless its rate changes in
    mid-song."""
    rate = made.sample_rate
    if options.sample_rate == SOURCE_RATE:
        rate = decoding.sample_rate_in
    elif isinstance(options.sample_rate, int):
        rate = options.sample_rate
    elif only := format_named(options.format).only_rate:
        rate = only
    samples = -(-made.total_samples * rate // made.sample_rate)
    if rate == decoding.sample_rate_in and -(-decoding.part_samples * made.sample_rate // rate) == made.total_samples:
        samples = decoding.part_samples
    return Sound(rate, 1 if options.mono else made.channels, samples)


class StemWriters:
    """Several writers in parallel. An error of a writer is raised by the next call here.

    On leaving the context no thread is left and, after an error, no file either. lossy_gain: for the stems in lossy
    formats.
    """

    def __init__(self, lossy_gain: float = 1.0) -> None:
        self._lossy_gain = lossy_gain
        self._encoders: dict[str, _StemEncoder] = {}

    def __enter__(self) -> StemWriters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for encoder in self._encoders.values():
            encoder.abandoned = kind is not None
        for encoder in self._encoders.values():
            encoder.thread.shutdown(wait=True, cancel_futures=True)
        if kind is not None:
            for encoder in self._encoders.values():
                encoder.discard()

    def add(self, stem: str, writer: Writer) -> None:
        self._encoders[stem] = _StemEncoder(stem, writer, self._lossy_gain if writer.lossy else 1.0)

    def write(self, stem: str, block: Samples) -> None:
        """Queues [C, n] samples; waits while BLOCKS_AHEAD blocks of the stem are queued."""
        self._encoders[stem].write(block)

    def close(self, progress: Callable[[float], None] = lambda _: None) -> float:
        """Finishes all files. Returns the gain that they have in common, 1.0 if none was needed.

        progress: called with the fraction of finished files, at least once a second: FLAC is encoded only now.
        """
        for encoder in self._encoders.values():
            encoder.flush()
        gain = common_gain(encoder.writer for encoder in self._encoders.values())
        left = {encoder.thread.submit(encoder.close, gain) for encoder in self._encoders.values()}
        while left:
            finished, left = wait(left, PROGRESS_SECONDS, FIRST_COMPLETED)
            for future in finished:
                future.result()
            progress(1 - len(left) / len(self._encoders))
        return gain * min((encoder.gain for encoder in self._encoders.values()), default=1.0)


class _StemEncoder:
    """One stem: its writer, the only thread that uses it, and that thread's queue."""

    def __init__(self, stem: str, writer: Writer, gain: float) -> None:
        self.stem, self.writer, self.gain = stem, writer, gain
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"encode-{stem}")
        self.abandoned = False
        self._ahead: deque[Future[None]] = deque()

    def write(self, block: Samples) -> None:
        if len(self._ahead) >= BLOCKS_AHEAD:
            self._ahead.popleft().result()
        self._ahead.append(self.thread.submit(self._write, block))

    def _write(self, block: Samples) -> None:
        """Writes in pieces, so that cancelling does not wait for a whole block. Raises SeparationError for NaN and
        infinity, which encoders do not survive."""
        for start in range(0, block.shape[1], PIECE_SAMPLES):
            if self.abandoned:
                return
            piece = block[:, start : start + PIECE_SAMPLES]
            if not np.isfinite(piece).all():
                raise SeparationError(f"the model gave samples of {self.stem} that are not numbers")
            self.writer.write(piece if self.gain == 1.0 else piece * np.float32(self.gain))

    def close(self, gain: float) -> None:
        self.writer.close(gain)

    def flush(self) -> None:
        while self._ahead:
            self._ahead.popleft().result()

    def discard(self) -> None:
        self.writer.abort()
        self.writer.path.unlink(missing_ok=True)  # a closed writer keeps its file
