"""Writing a song's stems side by side, each in a thread of its own. Refuses to run ahead of the slowest by much.

Encoders let go of the interpreter's lock, so they work while the network does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from msaas.audio.encode.writer import Writer, common_gain
from msaas.separation.overlap_add import Samples

BLOCKS_AHEAD = 2  # a stem; a block is as long as a batch of segments, a few megabytes
PIECE_SAMPLES = 1 << 16
BEAT_SECONDS = 1.0


class StemWriters:
    """Several writers at once. What a writer raises is raised by the next call here.

    As a context: on leaving no thread is left behind and, after an error, no file either.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _StemEncoder] = {}

    def __enter__(self) -> StemWriters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes.values():
            lane.abandoned = kind is not None
        for lane in self._lanes.values():
            lane.thread.shutdown(wait=True, cancel_futures=True)
        if kind is not None:
            for lane in self._lanes.values():
                lane.discard()

    def add(self, stem: str, writer: Writer) -> None:
        self._lanes[stem] = _StemEncoder(stem, writer)

    def write(self, stem: str, block: Samples) -> None:
        """Queues [C, n] samples; waits where BLOCKS_AHEAD blocks of the stem are in the queue already."""
        self._lanes[stem].write(block)

    def close(self, progress: Callable[[float], None] = lambda _: None) -> float:
        """Finishes all files. Returns the gain common to them, 1.0 where none was needed.

        progress: gets the part of the files that are finished, each second at least: FLAC encodes only now.
        """
        for lane in self._lanes.values():
            lane.flush()
        gain = common_gain(lane.writer for lane in self._lanes.values())
        left = {lane.thread.submit(lane.writer.close, gain) for lane in self._lanes.values()}
        while left:
            finished, left = wait(left, BEAT_SECONDS, FIRST_COMPLETED)
            for future in finished:
                future.result()
            progress(1 - len(left) / len(self._lanes))
        return gain


class _StemEncoder:
    """One stem: its writer, the only thread that touches it, and what that thread has yet to do."""

    def __init__(self, stem: str, writer: Writer) -> None:
        self.writer = writer
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"encode-{stem}")
        self.abandoned = False
        self._ahead: deque[Future[None]] = deque()

    def write(self, block: Samples) -> None:
        if len(self._ahead) >= BLOCKS_AHEAD:
            self._ahead.popleft().result()
        self._ahead.append(self.thread.submit(self._write, block))

    def _write(self, block: Samples) -> None:
        """In pieces: whoever gives the song up does not wait for a whole block to be encoded."""
        for start in range(0, block.shape[1], PIECE_SAMPLES):
            if self.abandoned:
                return
            self.writer.write(block[:, start : start + PIECE_SAMPLES])

    def flush(self) -> None:
        while self._ahead:
            self._ahead.popleft().result()

    def discard(self) -> None:
        self.writer.abort()
        self.writer.path.unlink(missing_ok=True)  # a writer that has closed keeps its file
