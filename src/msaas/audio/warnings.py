"""Warnings about a song that was separated despite defects: codes for programs, details for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log10

from msaas.audio.decode.decoder import DecodeReport

MIN_SECONDS = 0.1  # shorter gaps cause no warning


@dataclass(frozen=True)
class SongWarning:
    """`code` is one of msaas.error_codes.WARNING_CODES; `detail` says how much."""

    code: str
    detail: str


def warnings_of(report: DecodeReport, gain: float = 1.0) -> list[SongWarning]:
    """Warnings for the findings, most serious first. gain: the factor that all stems share; 1 if none clips."""
    return [*_missing(report), *_dropped(report), *_changed(report, gain)]


def _missing(report: DecodeReport) -> Iterator[SongWarning]:
    if report.skipped_packets:
        packets = _count(report.skipped_packets, "packet", "packets")
        detail = f"{packets} did not decode: {_seconds(report.skipped_seconds)} of the song are missing."
        yield SongWarning(code="packets_skipped", detail=detail)
    if report.missing_seconds:
        detail = f"The file has {_seconds(report.missing_seconds)} less audio than its header declares."
        yield SongWarning(code="cut_short", detail=detail)
    elif report.truncated:
        detail = "The file ends in the middle of its audio; how much is missing is unknown."
        yield SongWarning(code="cut_short", detail=detail)
    if report.unread_bytes:
        detail = f"{report.unread_bytes:,} bytes were not read: they are damaged, or belong to another file."
        yield SongWarning(code="not_read", detail=detail)


def _dropped(report: DecodeReport) -> Iterator[SongWarning]:
    if report.hole_seconds > MIN_SECONDS:
        places = _count(report.holes, "place", "places")
        seconds = _seconds(report.hole_seconds)
        detail = f"The file has no audio in {places}, {seconds} in all; the stems continue without a pause there."
        yield SongWarning(code="gaps", detail=detail)
    if report.leading_seconds > MIN_SECONDS:
        seconds = _seconds(report.leading_seconds)
        detail = f"The audio starts {seconds} after the file; the stems start with the audio."
        yield SongWarning(code="late_start", detail=detail)
    if report.ignored_seconds > MIN_SECONDS or (report.ignored_bytes and not report.ignored_seconds):
        lost = f", about {_seconds(report.ignored_seconds)} at its bit rate" if report.ignored_seconds else ""
        detail = f"{report.ignored_bytes:,} bytes before the audio, or within it, are not audio{lost}."
        yield SongWarning(code="ignored_bytes", detail=detail)


def _changed(report: DecodeReport, gain: float) -> Iterator[SongWarning]:
    if report.non_finite_samples:
        samples = _count(report.non_finite_samples, "sample was not a number", "samples were not numbers")
        detail = f"{samples} (NaN, infinite, or beyond all integers of 32 bits); silence is in their place."
        yield SongWarning(code="not_numbers", detail=detail)
    if report.max_channels > 2:
        lower = f", {_db(report.gain)} lower, so that nothing clips" if report.gain < 1 else ""
        yield SongWarning(code="downmixed", detail=f"{report.max_channels} channels were mixed to stereo{lower}.")
    if gain < 1:
        detail = f"All stems were turned down together by {_db(gain)}, so that none of them clips."
        yield SongWarning(code="turned_down", detail=detail)


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} seconds" if seconds < 10 else f"{seconds:,.1f} seconds"


def _db(gain: float) -> str:
    return f"{-20 * log10(gain):.1f} dB"
