"""Drum grooves, fills and hand percussion as hits of General MIDI keys. No sound here: kits.py has that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from songs.score import STRIKES

KEYS = {
    "K": (36, 35),
    "S": (38, 40),
    "R": (37,),
    "C": (39,),
    "H": (42,),
    "P": (44,),
    "O": (46,),
    "D": (51, 51, 59),
    "B": (53,),
    "T": (54,),
    "W": (56,),
    "L": (41, 43),
    "M": (45, 47),
    "I": (48, 50),
    "A": (49, 57),
    "J": (70, 82),
    "Q": (62,),
    "U": (63,),
    "V": (64,),
    "N": (60,),
    "G": (61,),
    "E": (75, 76),
    "Y": (65, 66),
}
# A bar is sixteen (or twelve) sixteenths; letters are strengths: X x o g (ghost).
GROOVES: dict[str, tuple[str, ...]] = {
    "rock": (
        "K=x.......x.x..... S=....X.......X... H=x.o.x.o.x.o.x.o.",
        "K=x.....x.x....... S=....X.......X... H=x.x.x.x.x.x.x.x.",
        "K=x..x..x...x.x... S=....X..g.g..X..g H=x.o.x.o.x.o.x.o.",
        "K=x.x.....x.x..... S=....X.......X... O=x...x...x...x...",
        "K=x.......xx...... S=....X.......X.o. D=x.x.x.x.x.x.x.x.",
        "K=x...x...x...x... S=..x...x...x...x. H=x.x.x.x.x.x.x.x.",
        "K=x..x...x..x..... S=....X.......X... L=x.x.x.x.x.x.x.x.",
    ),
    "half": (
        "K=x.........x..... S=........X....... H=x.o.x.o.x.o.x.o.",
        "K=x.....x......... S=........X.....g. D=x...x...x...x...",
        "K=x............... S=........X....... A=x...x...x...x...",
    ),
    "funk": (
        "K=x.x....x..x..x.. S=....X..g.g.gX..g H=xoxoxoxoxoxoxoxo",
        "K=x..x..x...x..x.. S=....X..g.g..X.g. H=x.x.x.x.x.x...x. O=..............x.",
        "K=x.....x.x.x..... S=.g.gX..g.g.gX..g H=x.xox.xox.xox.xo",
        "K=x..x......xx..x. S=....X.g..g..X... H=xxxxxxxxxxxxxxxx O=..........x.....",
    ),
    "disco": (
        "K=x...x...x...x... S=....X.......X... H=x...x...x...x... O=..x...x...x...x.",
        "K=x...x...x...x... C=....X.......X... H=xoxoxoxoxoxoxoxo T=..x...x...x...x.",
    ),
    "house": (
        "K=X...X...X...X... C=....x.......x... O=..x...x...x...x.",
        "K=X...X...X...X..x C=....x.......x... O=..x...x...x...x. J=oooooooooooooooo",
        "K=X...X...X...X... S=....x..o....x.o. H=xoxoxoxoxoxoxoxo O=..x...x...x...x.",
        "K=X...X...X...X... C=....x.......x..o O=..x...x...x...x. N=...x..x....x..x. G=.x....x..x......",
    ),
    "techno": (
        "K=X...X...X...X... H=..x...x...x...x. R=...x..x..x..x...",
        "K=X...X...X...X... O=..x...x...x...x. E=x..x..x..x..x.x. C=....o.......o...",
        "K=X..XX...X...X.x. S=....x.......x... H=xxoxxxoxxxoxxxox",
        "K=X...X...X...X... L=..x..x....x..x.. D=x.x.x.x.x.x.x.x.",
    ),
    "breakbeat": (
        "K=x.x.......xx.... S=....X..g.g..X..g H=x.x.x.x.x.x.x.x.",
        "K=x.........x..... S=....X.......X... H=x.x.x.x.x.x.x.x. J=oooooooooooooooo",
        "K=x..x......x..... S=....X..x.x....X. D=x.x.x.x.x.x.x.x.",
    ),
    "hiphop": (
        "K=x.....x...x..... S=....X.......X... H=x.x.x.x.x.x.x.x.",
        "K=x..x....x.x....x S=....X.......X... H=xoxoxoxoxoxoxoxo",
        "K=x......x..x..... S=....X..g....X... H=x.x.x.x.x.x.x.x. T=....x.......x...",
    ),
    "trap": (
        "K=x.....x...x..... C=........X....... H=x.x.x.xxx.x.xxxx",
        "K=x..x......x..x.. S=........X....... H=xxxxx.x.xxxxxx.x O=......x.........",
        "K=x.........x.x... C=........X....... S=........x.....g. H=x.x.xxx.x.x.xoxo",
    ),
    "reggae": (
        "K=........x....... R=........x....... H=x.o.x.o.x.o.x.o.",
        "K=x.......x....... R=....x.......x... H=o.x.o.x.o.x.o.x.",
        "K=x...x...x...x... S=........X....... H=x.o.x.o.x.o.x.o.",
    ),
    "latin": (
        "K=x..xx..xx..xx..x R=x..x..x...x..x.. D=x.x.x.x.x.x.x.x.",
        "K=x..x..x.x..x..x. R=..x...x...x.x... J=xoxoxoxoxoxoxoxo U=..x...x...x...x. V=......xx......xx",
        "K=x...x...x...x... W=x.x.x.x.x.x.x.x. U=..x...x...x...x. V=......xx......xx Y=x...........x.x.",
        "K=x..x..x.x..x..x. S=...x..x....x..x. H=x.x.x.x.x.x.x.x.",
        "K=x...x...x...x... J=x.oxx.oxx.oxx.ox N=x..o..x.x..o..x. G=..x...x...x...xx E=x..x..x...x.x...",
    ),
    "swing": (
        "D=x...x.x.x...x.x. P=....x.......x... K=g...g...g...g...",
        "D=x...x.x.x...x.x. P=....x.......x... S=......g...g..... K=x.........g.....",
        "D=x...x.x.x...x.x. P=....x.......x... S=..g......g....o. K=......o.........",
        "S=o.g.o.g.o.g.o.g. P=....x.......x... K=o.......o.......",
    ),
    "shuffle": (
        "K=x.......x.x..... S=....X.......X... H=x.x.x.x.x.x.x.x.",
        "K=x...x...x...x... S=....X..g....X..g D=x.x.x.x.x.x.x.x.",
    ),
    "ballad": (
        "K=x.......x......o S=....x.......x... H=o.g.o.g.o.g.o.g.",
        "K=x.....x.x....... R=....x.......x... H=x...x...x...x...",
        "K=x............... R=........x....... J=o.g.o.g.o.g.o.g.",
    ),
    "metal": (
        "K=xxxxxxxxxxxxxxxx S=....X.......X... A=x...x...x...x...",
        "K=x.xxx.xxx.xxx.xx S=....X.......X... D=x...x...x...x...",
        "K=x...x...x...x... S=..X...X...X...X. A=x...x...x...x...",
        "K=x..xx..xx..xx... S=....X.......X... O=x...x...x...x...",
    ),
    "train": (
        "K=x...x...x...x... S=ooXoooXoooXoooXo",
        "K=x...x...x...x... S=..x...x...x...x. H=x.x.x.x.x.x.x.x.",
        "K=x.......x....... R=....x.......x... J=xoxoxoxoxoxoxoxo T=....x.......x...",
    ),
    "perc": (
        "N=x..xx..x.xx.x..x G=..x...x.x..x..x. J=xoxoxoxoxoxoxoxo",
        "U=..x...x...x...x. V=x.....xxx.....xx E=x..x..x...x.x...",
        "T=....x.......x... C=....o.......x... J=x.o.x.o.x.o.x.o.",
    ),
    "march": (
        "K=x...x...x...x... S=x..xx.x.x..xxxxx A=x...............",
        "L=x.....x.x...x.x. K=x.......x....... T=....x.......x...",
    ),
    "three": (
        "K=x.......... S=....o...o... H=x.x.x.x.x.x.",
        "K=x.........o. R=....x...x... D=x...x.x.x.x.",
        "K=x.....x..... S=........X... H=x.o.x.o.x.o.",
        "D=x...x.x.x... P=....x...x... K=o...........",
    ),
    "six": (
        "K=x.......x... S=......X..... H=x.o.o.x.o.o.",
        "K=x...x....... S=......X..g.. D=x.o.o.x.o.o.",
        "K=x.........x. S=......X..... H=xoxoxoxoxoxo",
    ),
}


@dataclass(frozen=True)
class Strike:
    """One stroke: steps (sixteenths) from its bar's start, a General MIDI key, a velocity."""

    step: float
    key: int
    velocity: int


def parsed(text: str) -> dict[str, str]:
    return dict(piece.split("=") for piece in text.split())


class Drummer:
    """Plays one song: a groove for each kind of section, with its own habits."""

    def __init__(self, grooves: tuple[str, ...], bar_steps: int, rng: np.random.Generator) -> None:
        self.rng, self.bar_steps = rng, bar_steps
        self.grooves = grooves
        self.keys = {piece: int(rng.choice(keys)) for piece, keys in KEYS.items()}
        self.busy, self.loose = rng.uniform(0, 0.12), rng.uniform(2, 11)
        self.extra = self._layer() if rng.random() < 0.3 else {}
        self.by_kind: dict[str, dict[str, str]] = {}

    def _layer(self) -> dict[str, str]:
        return parsed(str(self.rng.choice(GROOVES["perc"])))

    def groove(self, kind: str) -> dict[str, str]:
        if kind not in self.by_kind:
            chosen = parsed(str(self.rng.choice(GROOVES[str(self.rng.choice(self.grooves))])))
            self.by_kind[kind] = self._varied(chosen, kind)
        return self.by_kind[kind]

    def _varied(self, groove: dict[str, str], kind: str) -> dict[str, str]:
        rng = self.rng
        if "H" in groove and (rng.random() < (0.5 if kind == "chorus" else 0.15)):
            groove[str(rng.choice(["D", "D", "O", "A", "T", "L"]))] = groove.pop("H")
        if "H" in groove and rng.random() < 0.2:
            groove["H"] = str(
                rng.choice(["x...x...x...x...", "x.x.x.x.x.x.x.x.", "xoxoxoxoxoxoxoxo", "..x...x...x...x."])
            )
        if "S" in groove and rng.random() < 0.12:
            groove["C"] = groove["S"]
        if "K" in groove and rng.random() < 0.35:
            spots = list(groove["K"])
            spots[int(rng.integers(len(spots)))] = str(rng.choice([".", "x", "o"]))
            groove["K"] = "".join(spots)
        if rng.random() < 0.08:
            groove.pop(str(rng.choice(list(groove))))
        return groove | (self.extra if kind != "verse" else {})

    def bar(self, kind: str, first: bool, last: bool) -> list[Strike]:
        strikes = [strike for piece, line in self.groove(kind).items() for strike in self._line(piece, line)]
        if first and self.rng.random() < 0.6:
            strikes.append(Strike(0, self.keys["A"], 112))
        if last and self.rng.random() < 0.7:
            return self._with_fill(strikes)
        return strikes

    def _line(self, piece: str, line: str) -> list[Strike]:
        whole = (line * 2)[: self.bar_steps] if len(line) != self.bar_steps else line
        return [self._struck(step, piece, mark) for step, mark in enumerate(whole) if self._plays(piece, mark)]

    def _plays(self, piece: str, mark: str) -> bool:
        if mark == ".":
            return piece in "KSH" and self.rng.random() < self.busy * 0.25
        return self.rng.random() > self.busy * 0.3

    def _struck(self, step: float, piece: str, mark: str) -> Strike:
        strength = STRIKES.get(mark, 40) + self.rng.normal(0, self.loose)
        return Strike(step, self.keys[piece], int(np.clip(strength, 8, 127)))

    def _with_fill(self, strikes: list[Strike]) -> list[Strike]:
        """The bar's end given to a run over snare and toms, or to a stop."""
        rng = self.rng
        start = self.bar_steps - int(rng.choice([4, 4, 6, 8, self.bar_steps]))
        kept = [strike for strike in strikes if strike.step < start]
        if rng.random() < 0.12:
            return kept
        pieces = str(rng.choice(["SIML", "SSIM", "IIMMLL", "SSSS", "SKSK", "SMLK", "KLKS"]))
        steps = np.arange(start, self.bar_steps, float(rng.choice([1, 1, 2, 0.5])))
        for count, step in enumerate(steps[rng.random(len(steps)) < rng.uniform(0.6, 1)]):
            piece = pieces[min(int(count * len(pieces) / len(steps)), len(pieces) - 1)]
            kept.append(self._struck(float(step), piece, "x" if rng.random() < 0.7 else "o"))
        return kept
