"""Harbour Lights: a pop song in D major. The score, as data."""

from songs.score import Part, Song, Voice, arpeggio, beat, moved, progression, strum, sung, tune, walk

INTRO = progression("D:4 G:2 A:2")
VERSE = progression("D:4 Bm:4 G:4 A:4 Em7:4 A:4", at=8)
CHORUS = progression("G:4 A:4 D:4 Bm:4 G:4 A:4 D:4 D:4", at=32)
END = progression("D:3", at=64)

VERSE_BEAT = {
    "hat": " x.o.x.o.x.o.x.o.",
    "snare": "....X..g....X.g.",
    "kick": " X.....x.x.......",
}
CHORUS_BEAT = {
    "open": " ..............x.",
    "hat": "  X.x.X.x.X.x.X...",
    "snare": "....X..g.g..X...",
    "kick": " X..x..x.X.x...x.",
    "tambourine": "..o...o...o...o.",
}
PICK_UP = {"snare": "g.o.x.X.", "kick": "X...X..."}
FILL = {
    "snare": "X.gxX...........",
    "high": " ......x.xx......",
    "mid": "  ..........xx....",
    "low": "  ..............xx",
    "kick": " X...x...x...x...",
}

DRUMS = (
    *beat({"stick": "x...x...x.x.x.x."}, at=0),
    *beat(PICK_UP, at=6),
    *beat({"crash": "x"}, at=8),
    *beat(VERSE_BEAT, at=8, times=5),
    *beat(FILL, at=28),
    *beat({"crash": "X"}, at=32),
    *beat(CHORUS_BEAT, at=32, times=3),
    *beat({"snare": "X..gX...", "kick": "X...x.x.", "hat": "x.x.x.x."}, at=44),
    *beat({"snare": "X.xxXxxx", "kick": "X...X..."}, at=46),
    *beat({"crash": "X"}, at=48),
    *beat(CHORUS_BEAT, at=48, times=3),
    *beat(FILL, at=60),
    *beat({"crash": "X", "kick": "X"}, at=64),
)

WORDS = (
    sung("Every night I walk the harbour wall", 8, "F#4:.5 F#4:.5 A4:1 F#4:.5 E4:.5 D4:.5 E4:.5 | F#4:1 D4:2"),
    sung("Counting all the boats as evening falls", 16, "G4:.5 G4:.5 B4:1 A4:.5 G4:.5 D4:.5 E4:.5 | E4:1 A4:2"),
    sung("And somewhere out beyond the foam", 24, "E4:.5 G4:.5 G4:.5 B4:1 G4:.5 F#4:.5 E4:.5 | ~G4:.5 A4:2.5"),
    sung("Harbour lights, bring me home to you", 32, "D5:1 B4:.5 D5:1.5 B4:.5 A4:.5 | C#5:1.5 B4:.5 A4:1.5"),
    sung("Shining gold on the silver blue", 40, "A4:1 F#4:.5 A4:1.5 F#4:.5 E4:.5 | F#4:1 E4:.5 D4:2"),
    sung("Harbour lights, I am coming through", 48, "D5:1 B4:.5 D5:1.5 B4:.5 D5:.5 | E5:1 C#5:.5 A4:2"),
    sung("Over the water to you", 56, "F#4:1 A4:.5 A4:.5 B4:1 A4:.5 F#4:.5 | E4:.5 ~D4:2.5"),
)
SECOND_VOICE = (
    sung("Harbour lights, bring me home to you", 32, "B4:1 G4:.5 B4:1.5 G4:.5 F#4:.5 | A4:1.5 G4:.5 E4:1.5"),
    sung("Shining gold on the silver blue", 40, "F#4:1 D4:.5 F#4:1.5 D4:.5 C#4:.5 | D4:1 C#4:.5 B3:2"),
    sung("Harbour lights, I am coming through", 48, "B4:1 G4:.5 B4:1.5 G4:.5 B4:.5 | C#5:1 A4:.5 E4:2"),
    sung("Over the water to you", 56, "D4:1 F#4:.5 F#4:.5 G4:1 F#4:.5 D4:.5 | C#4:.5 ~A3:2.5"),
)

RIFF = tune("D5:.5 F#5:.5 A5:1 F#5:.5 E5:.5 D5:1 | B4:.5 D5:.5 G5:1 E5:1 C#5:1", velocity=86)
GUITARS = strum(CHORUS, "X-o-x-ox o-x-X-x-", low=50, gate=1.0) + strum(END, "X-----------", low=50)

SONG = Song(
    title="Harbour Lights",
    slug="harbour-lights",
    style="pop",
    key="D major",
    bpm=112,
    metre=4,
    beats=67,
    seed=112,
    parts=(
        Part("kit", "drums", 16, DRUMS, reverb=0.10),
        Part(
            "fingered bass",
            "bass",
            33,
            walk(INTRO, "R-------", 28)
            + walk(VERSE, "R--RR-58", 28)
            + walk(CHORUS, "R.RRR.R5", 28)
            + walk(END, "R-----", 28),
            reverb=0.02,
        ),
        Part("piano", "other", 0, strum(VERSE, "x-------x-----o-", low=57) + moved(RIFF), pan=-0.25),
        Part(
            "clean guitar",
            "other",
            27,
            arpeggio(INTRO + VERSE, "02134312", low=62, velocity=84),
            level_db=-2,
            pan=0.45,
            reverb=0.2,
            low_cut_hz=150,
        ),
        Part("left guitar", "other", 29, GUITARS, level_db=0, pan=-0.7, low_cut_hz=120, high_cut_hz=9000),
        Part(
            "right guitar",
            "other",
            30,
            moved(GUITARS, beats=0.015),
            level_db=-1,
            pan=0.7,
            low_cut_hz=120,
            high_cut_hz=9000,
        ),
        Part("strings", "other", 48, strum(CHORUS + END, "x---------------", low=67), level_db=-3, reverb=0.3),
        Part("lead", "other", 80, moved(RIFF, 56) + moved(RIFF, 64)[:1], level_db=-4, pan=0.2, reverb=0.25),
    ),
    voices=(
        Voice("lead", "en-us+f2", WORDS),
        Voice("double", "en-us+f2", WORDS[3:], level_db=-10, pan=-0.4, detune_cents=9),
        Voice("harmony", "en-us+Annie", SECOND_VOICE, level_db=-6, pan=0.35, reverb=0.25),
    ),
    balance_db={"vocals": -17.0, "drums": -16.5, "bass": -18.0, "other": -18.5},
)
