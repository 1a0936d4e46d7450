"""Drum kits: recorded samples found on this machine, and synthesised drums; placed hit by hit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, resample_poly, sosfilt

from training.score.drums import KEYS
from training.score.notes import RATE, Hit

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
ONE_SHOTS = (Path("/usr/share/sonic-pi/samples"), Path("/usr/share/lmms/samples/drums"))
BROKEN = {"kick04"}  # a .wav with a malformed header under the name of an .ogg, in lmms 1.2.2
LOOPS = (Path("/usr/share/sonic-pi/samples"), Path("/usr/share/lmms/samples/beats"))
LOOP_NAMES = re.compile(
    r"loop_(amen|amen_full|breakbeat|compus|industrial|mehackit[12]|mika|perc[12]|safari|tabla)|break0|electro_beat|909beat"
    r"|house_loop|jungle|rave_(hihat|kick|snare)"
)
PIECE_OF_KEY = {key: piece for piece, keys in KEYS.items() for key in keys}
# What a sample's name says it is; the first that fits.
NAMES = (
    ("", r"crow|burp|robot|phone|choir|ambi|loop|guit|bass_(dnb|drop|hard|hit|thick|trance|voxy|woods)|vinyl|glitch_bass|nasty_bass|drum_roll|zap|whistle|^fx|till|cineboom|impact|sw[oa]|door|glass"),  # noqa: E501
    ("W", r"cowbell|agogo"), ("B", r"bell|cup"), ("R", r"stick|rim(?!shot)|click|pop|tick"), ("C", r"clap|snap"),
    ("O", r"open|semi|hat op|cymbal_open|hihat_opened|ohh|swish"), ("P", r"pedal|cymbal_pedal"),
    ("H", r"closed|hh|hat|cymbal_closed"), ("S", r"snare|^sn_|slap"), ("A", r"crash|china|splash|cymbal|flink"),
    ("D", r"ride"), ("T", r"tamb"), ("J", r"shaker|maraca|elec_twip"), ("E", r"clav|wood|block|plip"),
    ("L", r"floor|tom[ _]?lo|tom_l|low tom|drum 2|dunun|tom0[12]"), ("M", r"tom[ _]?2|mid|middle|tom03|sangban"),
    ("I", r"tom"), ("N", r"bongo ?hi|tone|tabla_(na|te)|kenkeni"), ("G", r"bongo ?lo|tabla_(ghe|ke)|djembe"),
    ("U", r"conga|tabla_(tun|re)"), ("V", r"tabla|drum 1|elec_bong|thump"), ("K", r"kick|bassdrum|^bd_|bass ?drum|drum_bass"),  # noqa: E501
)  # fmt: skip
SIMILAR = {"P": "H", "B": "D", "D": "HA", "O": "AH", "L": "MI", "M": "IL", "I": "ML", "Y": "MIU", "U": "NM", "V": "GUL",
           "N": "UI", "G": "VL", "Q": "U", "E": "RW", "W": "BE", "T": "JH", "J": "TH", "C": "S", "R": "ES", "A": "D", "S": "CR",  # noqa: E501
           "H": "JO", "K": "LV"}  # fmt: skip


def piece_of(name: str) -> str:
    lowered = name.lower()
    return next((piece for piece, pattern in NAMES if re.search(pattern, lowered)), "")


@cache
def recorded() -> dict[str, dict[str, list[tuple[Path, ...]]]]:
    """Kit name to piece to instruments, each its layers from soft to hard."""
    kits = {
        folder.name: _hydrogen(folder) for folder in sorted(HYDROGEN.glob("*")) if (folder / "drumkit.xml").is_file()
    }
    for folder in ONE_SHOTS:
        pieces: dict[str, list[tuple[Path, ...]]] = {}
        for path in sorted([*folder.glob("*.flac"), *folder.glob("*.ogg")]):
            if path.stem not in BROKEN and (piece := piece_of(path.stem)):
                pieces.setdefault(piece, []).append((path,))
        kits[folder.parent.name] = pieces
    return {name: pieces for name, pieces in kits.items() if {"K", "S"} <= pieces.keys() or "N" in pieces}


def _hydrogen(folder: Path) -> dict[str, list[tuple[Path, ...]]]:
    tree = ET.parse(folder / "drumkit.xml").getroot()  # noqa: S314  a package's own file
    plain = {element: element.tag.rsplit("}", 1)[-1] for element in tree.iter()}
    pieces: dict[str, list[tuple[Path, ...]]] = {}
    for instrument in (element for element, tag in plain.items() if tag == "instrument"):
        name = next((e.text or "" for e in instrument if plain[e] == "name"), "")
        files = [folder / (e.text or "") for e in instrument.iter() if plain[e] == "filename" and e.text]
        layers = tuple(dict.fromkeys(path for path in files if path.is_file()))
        if layers and (piece := piece_of(name)):
            pieces.setdefault(piece, []).append(layers)
    return pieces


def loaded(path: Path) -> np.ndarray:
    """A file as [2, samples] float32 at 44.1 kHz, peak 1."""
    sound, rate = soundfile.read(path, always_2d=True, dtype="float32")
    stereo = np.repeat(sound.T[:1], 2, 0) if sound.shape[1] == 1 else sound.T[:2]
    if rate != RATE:
        divisor = int(np.gcd(rate, RATE))
        stereo = resample_poly(stereo, RATE // divisor, rate // divisor, axis=1)
    return np.ascontiguousarray(stereo / (np.abs(stereo).max() + 1e-6), np.float32)


def speeded(sound: np.ndarray, factor: float) -> np.ndarray:
    """Played faster by a factor, so higher too."""
    spots = np.arange(0, sound.shape[1] - 1, factor)
    return np.stack([np.interp(spots, np.arange(sound.shape[1]), side) for side in sound]).astype(np.float32)


class Kit:
    """A song's kit: each piece a few sounds from soft to hard, its own pitch, place and loudness."""

    LEVELS_DB = {"K": 0, "S": -1, "C": -4, "H": -11, "P": -13, "O": -10, "D": -11, "A": -6, "J": -14, "T": -12}  # noqa: RUF012

    def __init__(self, electronic: bool, rng: np.random.Generator) -> None:
        self.rng, kits = rng, recorded()
        self.base = str(rng.choice(list(kits)))
        self.mixing = rng.uniform(0, 1) ** 2
        self.electronic = electronic
        self.width = rng.uniform(0, 0.7)
        self.sounds: dict[str, list[np.ndarray]] = {}
        self.name = "synthesised" if electronic else self.base
        self.machine = Machine(rng)

    def _layers(self, piece: str) -> list[np.ndarray]:
        rng, kits = self.rng, recorded()
        if self.electronic and rng.random() > self.mixing * 0.6:
            return [self.machine.sound(piece) for _ in range(2)]
        for wanted in piece + SIMILAR.get(piece, ""):
            own = kits[self.base].get(wanted)
            if own and rng.random() > self.mixing:
                return self._read(own)
            pool = [layers for pieces in kits.values() for layers in pieces.get(wanted, [])]
            if pool:
                return self._read(pool)
        return [self.machine.sound(piece)]

    def _read(self, choices: list[tuple[Path, ...]]) -> list[np.ndarray]:
        paths = choices[int(self.rng.integers(len(choices)))]
        return [loaded(path)[:, : 4 * RATE] for path in paths[:: max(len(paths) // 4, 1)]]

    def _prepared(self, piece: str) -> list[np.ndarray]:
        if piece not in self.sounds:
            rng, factor = self.rng, 2 ** (self.rng.normal(0, 2.2) / 12)
            side = 0.0 if piece in "KSC" else rng.uniform(-1, 1) * self.width
            gain = 10 ** ((self.LEVELS_DB.get(piece, -6) + rng.normal(0, 2.5)) / 20)
            place = gain * np.array([[1 - max(side, 0)], [1 + min(side, 0)]], np.float32)
            self.sounds[piece] = [speeded(sound, factor) * place for sound in self._layers(piece)]
        return self.sounds[piece]

    def play(self, hits: Sequence[Hit], samples: int) -> np.ndarray:
        out = np.zeros((2, samples), np.float32)
        hats = [hit.start_seconds for hit in hits if PIECE_OF_KEY.get(hit.pitch) in "HPO"]
        for hit in hits:
            piece = PIECE_OF_KEY.get(hit.pitch, "S")
            layers = self._prepared(piece)
            layer = layers[min(int(hit.velocity / 128 * len(layers) + self.rng.uniform(-0.4, 0.4)), len(layers) - 1)]
            sound = self._choked(layer, hit, hats) if piece == "O" else layer
            start = round(hit.start_seconds * RATE)
            room = min(sound.shape[1], samples - start)
            out[:, start : start + room] += (hit.velocity / 110) ** 1.6 * sound[:, :room]
        return out

    @staticmethod
    def _choked(sound: np.ndarray, hit: Hit, hats: list[float]) -> np.ndarray:
        after = min((hat for hat in hats if hat > hit.start_seconds + 0.02), default=hit.start_seconds + 4)
        length = min(round((after - hit.start_seconds) * RATE), sound.shape[1])
        return sound[:, :length] * np.minimum(1, np.arange(length)[::-1] / 600).astype(np.float32)


class Machine:
    """A drum machine of its own making: 808, 909 and beyond, by chance."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.partials = rng.uniform(2_000, 12_000, 24) if rng.random() < 0.5 else 40 * rng.integers(8, 250, 8)
        self.kick = (
            rng.uniform(38, 62),
            rng.uniform(1, 9),
            rng.uniform(0.01, 0.08),
            rng.uniform(0.08, 0.7),
            rng.uniform(0, 0.6),
        )
        self.snare = (rng.uniform(130, 260), rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.9), rng.uniform(500, 4000))
        self.hat_low, self.drive = rng.uniform(4_000, 9_000), rng.uniform(0.5, 4)

    def sound(self, piece: str) -> np.ndarray:
        rng = self.rng
        if piece == "K":
            mono = self._sweep(*self.kick)
        elif piece == "S":
            hertz, seconds, noise, low = self.snare
            body = self._sweep(hertz, 0.8, 0.02, seconds * 0.7, 0.1)
            mono = self._sum((1 - noise) * body, noise * self._noise(low, 12_000, seconds))
        elif piece == "C":
            mono = self._clap()
        elif piece in "LMIUVNGYQ":
            spot = {"L": 80, "M": 115, "I": 160, "V": 190, "G": 230, "U": 260, "N": 340, "Y": 300, "Q": 280}[piece]
            mono = self._sweep(spot * rng.uniform(0.85, 1.2), rng.uniform(0.1, 1), 0.05, rng.uniform(0.08, 0.4), 0.1)
        elif piece in "ERW":
            hertz = {"E": 2500, "R": 1700, "W": 560}[piece] * rng.uniform(0.8, 1.2)
            mono = self._ping(hertz, hertz * 1.48, rng.uniform(0.02, 0.12 if piece != "W" else 0.4))
        else:
            mono = self._metal(piece)
        return np.repeat((mono / (np.abs(mono).max() + 1e-9))[None], 2, 0).astype(np.float32)

    def _sweep(self, hertz: float, rise: float, fall: float, seconds: float, click: float) -> np.ndarray:
        times = np.arange(int(min(seconds * 5, 1.5) * RATE)) / RATE
        phase = np.cumsum(hertz * (1 + rise * np.exp(-times / fall))) / RATE
        body = np.tanh(self.drive * np.sin(2 * np.pi * phase) * np.exp(-times / seconds))
        return body + click * self.rng.standard_normal(len(times)) * np.exp(-times / 0.002)

    def _noise(self, low: float, high: float, seconds: float) -> np.ndarray:
        times = np.arange(int(min(seconds * 6, 3) * RATE)) / RATE
        noise = self.rng.standard_normal(len(times)) * np.exp(-times / seconds)
        return sosfilt(butter(2, [low, min(high, 20_000)], "bandpass", fs=RATE, output="sos"), noise)

    def _ping(self, hertz: float, second: float, seconds: float) -> np.ndarray:
        times = np.arange(int(seconds * 6 * RATE)) / RATE
        return sum(np.sign(np.sin(2 * np.pi * f * times)) for f in (hertz, second)) * np.exp(-times / seconds)

    def _clap(self) -> np.ndarray:
        low, seconds = self.rng.uniform(600, 1400), self.rng.uniform(0.04, 0.25)
        burst, tail = self._noise(low, low * 5, 0.005), self._noise(low, low * 6, seconds)
        out = np.zeros(len(tail) + 2000)
        for start in np.cumsum(self.rng.integers(200, 600, 3)):
            out[start : start + len(burst)] += burst[: len(out) - start]
        out[1500 : 1500 + len(tail)] += 0.8 * tail[: len(out) - 1500]
        return out

    def _metal(self, piece: str) -> np.ndarray:
        seconds = {"H": 0.03, "P": 0.02, "O": 0.25, "D": 0.5, "B": 0.4, "A": 0.8, "T": 0.08, "J": 0.03}.get(piece, 0.1)
        seconds *= self.rng.uniform(0.6, 1.6)
        times = np.arange(int(min(seconds * 6, 3) * RATE)) / RATE
        metal = sum(np.sign(np.sin(2 * np.pi * hertz * times)) for hertz in self.partials) * np.exp(-times / seconds)
        mixed = self._sum(metal / len(self.partials) * self.rng.uniform(0, 2), self._noise(3000, 19_000, seconds))
        low = self.hat_low * (0.5 if piece in "DAB" else 1)
        return sosfilt(butter(2, low, "highpass", fs=RATE, output="sos"), mixed)

    @staticmethod
    def _sum(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        out = np.zeros(max(len(one), len(two)))
        out[: len(one)] += one
        out[: len(two)] += two
        return out


@cache
def loops() -> tuple[Path, ...]:
    paths = [path for folder in LOOPS for path in sorted([*folder.glob("*.flac"), *folder.glob("*.ogg")])]
    return tuple(path for path in paths if LOOP_NAMES.match(path.stem))


def looped(
    bpm: float, spans: Sequence[tuple[float, float]], samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """A recorded loop, sped to the song's tempo by the nearest whole count of beats, over the given spans."""
    path = loops()[int(rng.integers(len(loops())))]
    sound, beat = loaded(path), 60 / bpm * RATE
    counts = 2.0 ** np.arange(0, 6)
    factors = sound.shape[1] / (counts * beat)
    sped = speeded(sound, float(factors[np.argmin(np.abs(np.log(factors)))]))
    out = np.zeros((2, samples), np.float32)
    for start, end in ((round(a * RATE), min(round(b * RATE), samples)) for a, b in spans):
        if end > start:
            out[:, start:end] = np.tile(sped, (end - start) // sped.shape[1] + 1)[:, : end - start]
    return out, path.stem
