"""The Slow River: a waltz in F major. The score, as data."""

from songs.score import Part, Song, Voice, arpeggio, beat, progression, strum, sung, tune, walk

INTRO = progression("F:3 C7:3")
FIRST = progression("F:3 Dm:3 Bb:3 C:3  F:3 Am:3 Bb:3 C:3", at=6)
MIDDLE = progression("Bb:3 C:3 Am:3 Dm:3 Gm7:3 C7:3 F:3 F:3", at=30)
END = progression("Fmaj7:3", at=54)

SOFT = {"kick": "x.....", "brush": "..x.x.", "ride": "x.o.og", "pedal": "..o.o."}
FULL = {"kick": "X....g", "snare": "..x.xg", "ride": "x.xox.", "pedal": "..x.x."}
LIFT = {"kick": "x.....", "snare": "..x.XX", "high": "..xx..", "low": "....xx", "ride": "x....."}
DRUMS = (
    *beat({"ride": "x.o.o.", "brush": "..o.o."}, at=0, step=0.5),
    *beat({"ride": "x.o.o.", "brush": "..o.oo", "kick": "x...o."}, at=3, step=0.5),
    *beat(SOFT, at=6, times=3, step=0.5),
    *beat({"kick": "x..o..", "brush": "..x.xx", "ride": "x.o.o."}, at=15, step=0.5),
    *beat(SOFT, at=18, times=3, step=0.5),
    *beat(LIFT, at=27, step=0.5),
    *beat({"crash": "x"}, at=30),
    *beat(FULL, at=30, times=5, step=0.5),
    *beat(LIFT, at=45, step=0.5),
    *beat({"crash": "o"}, at=48),
    *beat(SOFT, at=48, times=2, step=0.5),
    *beat({"crash": "o", "kick": "x"}, at=54),
)

WORDS = (
    sung("Slow river, carry me", 6, "A4:2 F4:.5 G4:.5 | A4:1 F4:.5 D4:1"),
    sung("down where the willows lean", 12, "Bb4:1.5 A4:.75 F4:.75 | G4:1 A4:.5 ~G4:.5 E4:.75"),
    sung("Deep water, sing to me", 18, "A4:2 F4:.5 A4:.5 | C5:1.5 A4:.5 E4:.75"),
    sung("songs of the sea unseen", 24, "D5:1.5 C5:.75 Bb4:.75 | A4:1 G4:.5 C5:1.25"),
    sung("Moon on the meadow", 30, "D5:2 C5:.5 Bb4:.5 | G4:1.5 E4:1.25"),
    sung("wind in the reeds", 36, "C5:2 A4:.5 E4:.5 | ~G4:.5 F4:2.25"),
    sung("Slow river, take me", 42, "Bb4:1.5 A4:.75 G4:.75 | E4:1.5 G4:1.25"),
    sung("home again", 48, "A4:2 G4:1 | ~G4:.25 F4:3.25"),
)
SECOND_VOICE = (
    sung("Moon on the meadow", 30, "F4:2 F4:.5 F4:.5 | E4:1.5 C4:1.25"),
    sung("wind in the reeds", 36, "E4:2 E4:.5 C4:.5 | ~E4:.5 D4:2.25"),
    sung("Slow river, take me", 42, "G4:1.5 F4:.75 D4:.75 | C4:1.5 E4:1.25"),
    sung("home again", 48, "F4:2 E4:1 | ~E4:.25 C4:3.25"),
)

CLARINET = (
    tune("C5:1 D5:.5 C5:.5 A4:1 | Bb4:1 G4:1 E4:1", at=0)
    + tune("r:2 C5:.5 D5:.5", at=15)
    + tune("F5:2 E5:.5 D5:.5 | E5:1.5 D5:.5 C5:1", at=30, velocity=78)
    + tune("C5:.5 D5:.5 F5:1 A5:1 | G5:.5 F5:2.5", at=51)
)

SONG = Song(
    title="The Slow River",
    slug="the-slow-river",
    style="waltz",
    key="F major",
    bpm=90,
    metre=3,
    beats=57,
    seed=90,
    parts=(
        Part("brush kit", "drums", 40, DRUMS, reverb=0.15),
        Part(
            "double bass",
            "bass",
            32,
            walk(INTRO + FIRST[:4], "R---5-", 29)
            + walk(FIRST[4:] + MIDDLE[:-1], "R--R5-", 29)
            + walk(MIDDLE[-1:], "R-----", 29)
            + walk(END, "R-----", 29),
            reverb=0.03,
        ),
        Part(
            "piano",
            "other",
            0,
            strum(INTRO + FIRST + MIDDLE, "..x-o-", low=58, step=0.5) + strum(END, "x-----", low=53, step=0.5),
            pan=-0.3,
            reverb=0.2,
        ),
        Part(
            "nylon guitar",
            "other",
            24,
            arpeggio(FIRST + MIDDLE, "024321", low=53, velocity=78),
            level_db=-1,
            pan=0.4,
            reverb=0.2,
            low_cut_hz=110,
        ),
        Part("strings", "other", 48, strum(MIDDLE + END, "x-----", low=62, step=0.5), level_db=-2, reverb=0.35),
        Part("clarinet", "other", 71, CLARINET, level_db=0, pan=0.15, reverb=0.3),
    ),
    voices=(
        Voice("lead", "gmw/en+f4", WORDS, vibrato_cents=40, reverb=0.22),
        Voice("harmony", "gmw/en+f2", SECOND_VOICE, level_db=-6, pan=-0.3, vibrato_cents=30, reverb=0.3),
    ),
    balance_db={"vocals": -16.5, "drums": -17.0, "bass": -18.0, "other": -18.5},
    reverb_seconds=1.9,
    tail_seconds=2.4,
)
