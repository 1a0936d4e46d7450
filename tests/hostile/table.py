"""What is sent and what becomes of it: a row is a claim. The limits are those of test_uploads.py's service.

`answer` is the submission's status and code. `heard`: where it is accepted, the code that decoding ends with, or the
seconds of sound that come out of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.support.audio import hostile_files as f

MAX_UPLOAD_BYTES = 120_000_000
MAX_DURATION_SECONDS = 30
MAX_DECODED_BYTES = 100_000_000  # 50 channels at 44.1 kHz: 11 seconds

ACCEPTED: tuple[int, str] = (202, "")
ANY = -1.0  # sound of some length
NOT_AUDIO = (422, "not_audio")
TOO_LONG = (422, "audio_too_long")
SECRET = "file:///etc/passwd"


@dataclass(frozen=True)
class Row:
    claim: str
    make: Callable[[], bytes]
    answer: tuple[int, str] = NOT_AUDIO
    heard: str | float | None = None


def accepted(claim: str, make: Callable[[], bytes], heard: str | float) -> Row:
    return Row(claim, make, ACCEPTED, heard)


BOMBS = [
    accepted("ten_hours_of_silence_in_36_MB_of_mp3_end_at_the_limit", lambda: f.silent_mp3(10), "audio_too_long"),
    Row("ten_hours_of_opus_that_say_so_are_refused", lambda: f.silent_opus(10), TOO_LONG),
    accepted("ten_hours_of_opus_that_say_a_second_end_at_the_limit", lambda: f.silent_opus(10, 0), "audio_too_long"),
    accepted("xing_header_that_says_a_year_is_not_believed", lambda: f.with_xing(2**31, f.silent_mp3(0.001)), 3.6),
    accepted(
        "xing_header_that_says_one_frame_hides_no_hour",
        lambda: f.with_xing(1, f.silent_mp3(1)),
        "audio_too_long",
    ),
    Row("flac_header_that_says_four_weeks_is_refused", lambda: f.flac_saying(2**36 - 1), TOO_LONG),
    accepted("flac_header_that_says_one_sample_cuts_nothing_off", lambda: f.flac_saying(1), 1.0),
    accepted("flac_header_that_says_nothing_is_read_to_its_end", lambda: f.flac_saying(0), 1.0),
    accepted("flac_that_says_nine_samples_ends_at_the_limit", lambda: f.flac_saying(9, 40), "audio_too_long"),
]

SIZES_THAT_LIE = [
    accepted("wav_with_a_data_size_of_0", lambda: f.wav(f.pcm(), said=0), ANY),
    accepted("wav_with_a_data_size_of_4_GB", lambda: f.wav(f.pcm(), said=0xFFFFFFFF), 0.5),
    accepted("wav_with_a_data_size_one_too_small", lambda: f.wav(f.pcm(), said=len(f.pcm()) - 8), ANY),
    accepted("rf64_that_says_8_EB", lambda: f.rf64(f.pcm(), riff=2**63, size=2**63 - 1, samples=2**62), ANY),
    Row("rf64_that_says_nothing_has_no_samples", lambda: f.rf64(f.pcm(), riff=0, size=0, samples=0)),
    Row("aiff_that_says_a_day_is_refused", lambda: f.aiff_saying(2**32 - 1)),
    accepted("aiff_that_says_nothing", lambda: f.aiff_saying(0), ANY),
    accepted("caf_of_unknown_size", lambda: f.caf_saying(-1), 1.0),
    Row("caf_that_says_8_EB_is_refused", lambda: f.caf_saying(2**63 - 1)),
    accepted("au_of_unknown_size", lambda: f.au_saying(0xFFFFFFFF), 1.0),
    Row("mp4_of_a_billion_samples_and_no_bytes", f.mp4_of_a_billion_samples),
    Row("m4a_of_two_million_edits_takes_two_seconds_of_computing_at_most", lambda: f.m4a_of_edits(2_000_000)),
    Row("mp4_of_10000_boxes_in_boxes", lambda: f.nested_boxes(10_000)),
    Row("header_alone_of_a_wav", lambda: f.wav(b"")),
]

# What FFmpeg opens where it is let: each names a file of this machine, or a place on the network.
PLAYLISTS = {
    "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{SECRET}\n#EXT-X-ENDLIST\n",
    "hls_of_the_network": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n",
    "hls_key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{SECRET}"\n#EXTINF:9,\na.ts\n',
    "ffconcat": f"ffconcat version 1.0\nfile '{SECRET}'\nduration 9\n",
    "concat_address": "concat:/etc/passwd|/etc/hosts",
    "file_address": SECRET,
    "subfile_address": "subfile,,start,0,end,0,,:/etc/passwd",
    "data_address": "data:audio/mpeg;base64,AAAA",
    "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{SECRET}</BaseURL></MPD>',
    "smooth_streaming": '<?xml version="1.0"?><SmoothStreamingMedia MajorVersion="2" Duration="9"/>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "asx": f'<asx version="3.0"><entry><ref href="{SECRET}"/></entry></asx>',
    "pls": f"[playlist]\nNumberOfEntries=1\nFile1={SECRET}\n",
    "m3u": f"{SECRET}\n",
    "xspf": f"<playlist><trackList><track><location>{SECRET}</location></track></trackList></playlist>",
    "ram": "rtsp://127.0.0.1/song.rm\n",
    "rtsp_reference": "[Reference]\nRef1=rtsp://127.0.0.1/song\n",
    "image_pattern": "/etc/%d.png",
    "filter_graph": "amovie=/etc/passwd",
    "metadata": ";FFMETADATA1\ntitle=x\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=9\n",
    "vobsub": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    "avisynth": 'DirectShowSource("/etc/passwd")',
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2013"/>',
}
SUBTITLES = {
    "srt": "1\n00:00:00,000 --> 00:00:09,000\nla la la\n\n" * 50,
    "webvtt": "WEBVTT\n\n00:00.000 --> 00:09.000\nla la la\n" * 50,
    "ass": "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,la\n",
    "lrc": "[ti:Song]\n[00:00.00]la la la\n" * 50,
    "microdvd": "{0}{90}la la la\n" * 50,
    "sami": "<SAMI><BODY><SYNC Start=0><P>la</BODY></SAMI>",
}
REFUSED = [
    *(Row(f"playlist_or_script_is_refused_{name}", text.encode) for name, text in PLAYLISTS.items()),
    *(Row(f"subtitles_are_refused_{name}", text.encode) for name, text in SUBTITLES.items()),
    Row("tracker_module_is_refused", f.tracker_module),
    Row("midi_is_refused", f.midi),
    Row("picture_is_refused", lambda: f.PNG),
    Row("many_pictures_are_refused", lambda: f.PNG * 500),
    Row("zip_is_refused", lambda: f.zipped("song.txt", b"la " * 10_000)),
    Row("zip_bomb_is_refused", lambda: f.zipped("song.wav", f.wav(bytes(30_000_000)))),
    Row("html_is_refused", lambda: b"<!doctype html><script>alert(1)</script><audio src=/etc/passwd>" * 9),
    Row("pdf_is_refused", lambda: b"%PDF-1.7\n" + bytes(2000)),
    Row("program_is_refused", lambda: b"\x7fELF\x02\x01\x01" + bytes(4000)),
    Row("pickle_is_refused", lambda: b"\x80\x04cposix\nsystem\n(S'true'\ntR."),
    Row("raw_samples_without_a_header_are_refused", lambda: bytes(200_000)),
    Row("film_without_sound_is_refused", lambda: f.film(sound=False)),
    accepted("mp4_that_leads_elsewhere_is_not_followed", lambda: f.mp4_with_reference(b"file:///etc/passwd\0"), 1.02),
]
POLYGLOTS = [
    accepted("mp3_with_a_zip_behind_it_is_a_song", lambda: f.mp3() + f.zipped("a.txt", b"la" * 9999), ANY),
    accepted("mp3_with_html_behind_it_is_a_song", lambda: f.mp3() + b"<script>alert(1)</script>" * 99, ANY),
    accepted("mp3_with_html_ahead_of_it_is_a_song", lambda: b"<!doctype html><script>alert(1)</script>" + f.mp3(), ANY),
    accepted("song_after_a_megabyte_less_one_of_garbage", lambda: bytes(900_000) + f.flac(), 1.0),
    accepted("ten_megabytes_of_cover_art_are_passed_over", lambda: f.id3(f.picture(10_000_000)) + f.mp3(), ANY),
    accepted("hundred_tags_in_a_row_are_passed_over", lambda: f.id3(f.title("x")) * 100 + f.mp3(), ANY),
    accepted("tag_in_a_tag_is_passed_over", lambda: f.id3(f.id3_frame(b"PRIV", f.id3() * 100)) + f.mp3(), ANY),
    accepted("hundred_megabytes_of_padding_are_passed_over", lambda: f.id3(padding=100_000_000) + f.mp3(), ANY),
    accepted("tag_that_says_more_than_the_file_holds_hides_no_song", lambda: f.id3(said=2**28 - 1) + f.mp3(), 1.0),
    Row("cover_art_alone_is_no_song", lambda: f.id3(f.picture(5000))),
    accepted("path_in_a_tag_is_a_text", lambda: f.id3(f.title("../../../../etc/passwd\0\r\n")) + f.mp3(), ANY),
    accepted("right_to_left_and_ten_thousand_letters_in_a_tag", lambda: f.id3(f.title("‮" * 10_000)) + f.mp3(), ANY),
    accepted("film_with_sound_is_a_song", lambda: f.film(sound=True), 1.0),
    accepted("of_forty_tracks_one_is_taken", lambda: f.many_tracks(40), 1.0),
]


def _with(value: float) -> Callable[[], bytes]:
    samples = np.zeros((2, 22_050), np.float32)
    samples[:, 100:200] = value
    return lambda: f.wav_of(samples)


ODD = [
    accepted("fifty_channels_become_two", lambda: f.wav(f.pcm(0.2, 50), channels=50), 0.2),
    Row("sixty_five_thousand_channels_are_refused", lambda: f.wav(bytes(1_000_000), channels=65_535)),
    Row("no_channel_at_all_is_refused", lambda: f.wav(f.pcm(), channels=0)),
    accepted(
        "many_channels_end_at_the_limit_of_bytes",
        lambda: f.wav(bytes(30_000_000), channels=50, kind=1, bits=8),
        "decoded_too_large",
    ),
    Row("one_hertz_is_refused", lambda: f.wav(f.pcm(), rate=1)),
    Row("zero_hertz_is_refused", lambda: f.wav(f.pcm(), rate=0)),
    Row("four_gigahertz_are_refused", lambda: f.wav(f.pcm(), rate=2**32 - 1)),
    accepted("768_kHz_are_resampled", lambda: f.wav(f.pcm(1), rate=768_000), 44_100 / 768_000),
    accepted("nan_becomes_silence", _with(float("nan")), 0.5),
    accepted("infinity_becomes_silence", _with(float("-inf")), 0.5),
    accepted("largest_float_stays_a_number", _with(3.4e38), 0.5),
    accepted("smallest_float_stays_a_number", _with(1e-45), 0.5),
    accepted("chained_ogg_of_two_rates_plays_on", lambda: f.ogg(1, 44_100) + f.ogg(1, 22_050), ANY),
    accepted("mp3_frames_of_two_rates_play_on", lambda: f.mp3(1, 44_100) + f.mp3(1, 48_000), ANY),
    accepted("mp3_frames_of_one_channel_and_two_play_on", lambda: f.silent_mp3(0.001) + f.mp3(), ANY),
    Row("nothing_at_all_is_refused", lambda: b"", (400, "empty_file")),
    Row("one_byte_is_refused", lambda: b"\xff"),
]

WHOLE: dict[str, Callable[[], bytes]] = {
    "mp3": f.mp3,
    "flac": f.flac,
    "m4a": f.m4a,
    "ogg": f.ogg,
    "wav": lambda: f.encoded("pcm_s16le", "wav"),
    "matroska": lambda: f.encoded("flac", "matroska"),
    "aiff": lambda: f.encoded("pcm_s16be", "aiff"),
    "wavpack": lambda: f.encoded("wavpack", "wv"),
    "adts": lambda: f.encoded("aac", "adts"),
}


def noise(seed: int, size: int = 60_000) -> bytes:
    return random.Random(seed).randbytes(size)


ROWS = [*BOMBS, *SIZES_THAT_LIE, *REFUSED, *POLYGLOTS, *ODD]

FILENAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows\\win.ini",
    "song\0.mp3",
    "song\r\nX-Injected: 1",
    "a" * 10_000,
    "song‮3pm.exe",
    "%2e%2e%2fpasswd",
    "$(touch pwned).mp3",
    "`touch pwned`",
    "-rf",
    ".",
    "con",
    json.dumps({"mp3": 1}),
]


def cuts(data: bytes) -> Iterator[bytes]:
    """The beginning of a file, by a byte in each region of it: within the first header, then by tenths."""
    for at in (1, 4, 11, 27, 43, 60, 100, *(len(data) * tenth // 10 for tenth in range(1, 10)), len(data) - 1):
        yield data[:at]
