"""Encodes one audio stream to a file with PyAV."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags

LAYOUTS = {1: "mono", 2: "stereo"}


class FFmpegOutput:
    """Encodes arrays of one sample format, in order, to a seekable file."""

    def __init__(
        self,
        path: Path,
        *,
        container: str,
        container_options: dict[str, str],
        codec: str,
        codec_options: dict[str, str],
        sample_format: str,
        sample_rate: int,
        channels: int,
        configure: Callable[[AudioStream], None] = lambda _stream: None,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._format, self._layout, self._rate = sample_format, LAYOUTS[channels], sample_rate
        self._pts = 0
        self._out = av.open(f"file:{path}", "w", format=container, container_options=container_options)
        # No version strings: equal stems give equal bytes.
        self._out.flags |= cast(int, av.container.Flags.bitexact.value)
        self._out.metadata.update(metadata)
        stream = self._out.add_stream(
            codec, rate=sample_rate, options=codec_options, layout=self._layout, format=sample_format
        )
        assert isinstance(stream, AudioStream)  # noqa: S101 – for the type checker; audio codecs make no other
        self._stream = stream
        self._stream.codec_context.flags |= av.codec.context.Flags.bitexact
        configure(self._stream)
        self._out.start_encoding()

    @property
    def samples_per_frame(self) -> int:
        return self._stream.codec_context.frame_size

    def write(self, samples: NDArray[Any], count: int) -> None:
        """samples: as PyAV's from_ndarray expects the sample format; count: samples per channel."""
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=self._format, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._pts, Fraction(1, self._rate)
        self._pts += count
        self._out.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._out.mux(self._stream.encode(None))
        self._out.close()

    def drop(self) -> None:
        """Closes the file and ignores errors."""
        with contextlib.suppress(av.FFmpegError, OSError):
            self._out.close()


LIMIT = 256.0  # 48 dB above full scale. LAME, AAC and Opus took 1024 in all tests, and LAME failed from 32768 on


class FFmpegWriter(Writer):
    """Encodes with PyAV at a constant bit rate. The encoders take floats, so levels beyond ±1 pass unchanged up to
    LIMIT; louder samples are cut to that."""

    lossy = True

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int,
        channels: int,
        total_samples: int,
        bitrate_kbps: int,
        tags: StemTags | None = None,
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)
        self.bitrate_kbps = bitrate_kbps

        def constant_rate(stream: AudioStream) -> None:
            stream.bit_rate = bitrate_kbps * 1000

        self._out = FFmpegOutput(
            path, sample_rate=sample_rate, channels=channels, configure=constant_rate, **self._format()
        )

    @abstractmethod
    def _format(self) -> dict[str, Any]:
        """FFmpegOutput's arguments for container, codec and sample format."""

    def _write(self, block: Block) -> None:
        if self.peak > LIMIT:
            block = block.clip(-LIMIT, LIMIT)
        self._out.write(self._arranged(block), block.shape[1])

    def _arranged(self, block: Block) -> NDArray[np.float32]:
        """[channels, n] as PyAV expects the sample format."""
        return block

    def _finish(self, _gain: float, /) -> None:
        self._out.close()

    def _drop(self) -> None:
        self._out.drop()
