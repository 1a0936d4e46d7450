"""Spark and Static: electronic funk in E minor. The score, as data."""

from songs.score import Part, Song, Voice, beat, moved, progression, strum, sung, tune, walk

VAMP = progression("Em7:4 A9:4 Em7:4 A9:4", at=8)
BREAK = progression("Am7:4 D:4", at=40)
HOOKS = tuple(chord for at in (24, 48) for chord in progression("C:2 D:2 Em7:4 C:2 D:2 Em7:4", at=at))
LAST = progression("Em7:2", at=64)

GROOVE = {
    "hat": "  x.xgx.x.x.xgx.x.",
    "open": " ......x.......x.",
    "snare": "....X..g.g..X..g",
    "kick": " X..x......x..x..",
}
HOOK_GROOVE = {
    "hat": "  xgxgxgx.xgxgxgx.",
    "open": " ......x.......x.",
    "snare": "....X..g.g..X.gg",
    "clap": " ....X.......X...",
    "kick": " X...X...X...X.x.",
    "cowbell": "..............g.",
}
BREAK_GROOVE = {"kick": "X.....X...X.....", "snare": "....X.......X...", "shaker": "xgogxgogxgogxgog"}
ROLL = {"snare": "o.o.oooo xxxxXXXX", "kick": "X...X...X...X...", "high": "........x.x.x.x."}
FILL = {"snare": "....X.gxX.......", "high": "..........xx....", "low": "............x.xx", "kick": "X...x...x...x..."}

DRUMS = (
    *beat(GROOVE, at=0),
    *beat(GROOVE, at=4),
    *beat({"crash": "x"}, at=8),
    *beat(GROOVE, at=8, times=3),
    *beat(FILL, at=20),
    *beat({"crash": "X"}, at=24),
    *beat(HOOK_GROOVE, at=24, times=4),
    *beat({"crash": "x"}, at=40),
    *beat(BREAK_GROOVE, at=40),
    *beat(ROLL, at=44),
    *beat({"crash": "X"}, at=48),
    *beat(HOOK_GROOVE, at=48, times=3),
    *beat(FILL, at=60),
    *beat({"crash": "X", "kick": "X", "snare": "X"}, at=64),
)
CLAPS = beat({"clap": "....X.......X..."}, at=8, times=8) + beat({"clap": "....X.......X.x."}, at=48, times=4)

RIFF = "E2:.75 E2:.25 r:.5 G2:.25 A2:.25 r:.25 B2:.25 D3:.5 E3:.25 D3:.25 B2:.25 G2:.25 "
ANSWER = "A2:.75 A2:.25 r:.5 C#3:.25 E3:.25 r:.25 A2:.25 G2:.5 E2:.25 G2:.25 G#2:.25 A2:.25 "
BASS = (
    tune(RIFF + RIFF, at=0, velocity=104)
    + tune(RIFF + ANSWER + RIFF + ANSWER, at=8, velocity=104)
    + walk(HOOKS[:6], "R.8R.R8.", 28, step=0.25, velocity=108)
    + walk(BREAK, "R-----..R---7-8-", 28, step=0.25)
    + walk(HOOKS[6:], "R.8R.R8.", 28, step=0.25, velocity=108)
    + walk(LAST, "R-------", 28, step=0.25, velocity=112)
)

STABS = "B4+D5+G5:.25! r:.5 B4+D5+G5:.25 r:2.5 A4+D5+F#5:.25 B4+D5+G5:.25! "
LEAD = tune(
    "E5:.75 G5:.25 A5:.5 C6:.5 B5:.25 A5:.25 G5:.5 E5:1 | F#5:.5 A5:.5 D6:.75 C6:.25 B5:.5 A5:.5 F#5:.25 A5:.75", at=40
)

FIRST, SECOND = "B3:.5 B3:.5 E4:1 D4:.5 B3:.5 D4:.5 B3:.5", "A3:.5 A3:.5 B3:.5 A3:.5 G3:.5 E3:1"
CALL, REPLY = "E4:.5 D4:.5 E4:.75 G4:.75", "G4:.5 E4:.5 | D4:.5 B3:.5 E4:2"
WORDS = (
    sung("Got a spark in my pocket", 8, FIRST),
    sung("and it never goes out", 12.5, SECOND),
    sung("Plug me in to the socket", 16, FIRST),
    sung("let me hear that sound", 20.5, "A3:.5 A3:.5 B3:.5 D4:.5 E4:.75 ~G4:.5 ~E4:.25"),
    *(
        line
        for at in (24, 48)
        for line in (
            sung("Spark and static", at, CALL),
            sung("running down the line", at + 3, REPLY),
            sung("Spark and static", at + 8, CALL),
            sung("move your feet in time", at + 11, REPLY),
        )
    ),
)
SECOND_VOICE = tuple(
    line
    for at in (24, 48)
    for line in (
        sung("Spark and static", at, "G4:.5 F#4:.5 A4:.75 B4:.75"),
        sung("running down the line", at + 3, "B4:.5 A4:.5 | G4:.5 E4:.5 G4:2"),
        sung("Spark and static", at + 8, "G4:.5 F#4:.5 A4:.75 B4:.75"),
        sung("move your feet in time", at + 11, "B4:.5 A4:.5 | G4:.5 E4:.5 G4:2"),
    )
)

SONG = Song(
    title="Spark and Static",
    slug="spark-and-static",
    style="electronic funk",
    key="E minor",
    bpm=104,
    metre=4,
    beats=66,
    seed=104,
    parts=(
        Part("electronic kit", "drums", 24, DRUMS, reverb=0.05),
        Part("808 claps", "drums", 25, CLAPS, level_db=-9, reverb=0.15),
        Part("slap bass", "bass", 36, BASS, reverb=0.0),
        Part("synth bass", "bass", 38, BASS, level_db=-4, reverb=0.0, high_cut_hz=4000),
        Part(
            "clavinet",
            "other",
            7,
            strum(VAMP + HOOKS + BREAK, "x.gx.gx.g.x.gxg.", low=60, gate=0.6),
            pan=-0.45,
            low_cut_hz=180,
        ),
        Part(
            "muted guitar",
            "other",
            28,
            strum(VAMP + HOOKS, "g.xg..xgg.x.g.xg", low=64, gate=0.5),
            level_db=-2,
            pan=0.55,
            low_cut_hz=200,
        ),
        Part("electric piano", "other", 4, strum(HOOKS + BREAK, "x-----o-", low=60), level_db=-1, reverb=0.15),
        Part(
            "brass",
            "other",
            61,
            tune(STABS + STABS, at=0)
            + tune("r:3.25 B4+D5:.25 C#5+E5:.25! r:.25", at=20)
            + strum(HOOKS, "X..x....", low=67, gate=0.8)
            + strum(LAST, "X-------", low=67),
            level_db=0,
            reverb=0.2,
            low_cut_hz=150,
        ),
        Part("lead synth", "other", 81, LEAD + moved(LEAD[:3], 20), level_db=2, reverb=0.25, low_cut_hz=200),
        Part("pad", "other", 89, strum(HOOKS + BREAK + LAST, "o---------------", low=64), level_db=-7, reverb=0.3),
    ),
    voices=(
        Voice("lead", "en-us+m3", WORDS, vibrato_cents=22, reverb=0.1),
        Voice("left", "en-us+m3", WORDS[4:], level_db=-9, pan=-0.5, detune_cents=-10, vibrato_cents=20),
        Voice("harmony", "en-us+f2", SECOND_VOICE, level_db=-6, pan=0.4, vibrato_cents=20, reverb=0.2),
    ),
    balance_db={"vocals": -17.0, "drums": -16.5, "bass": -17.5, "other": -18.5},
    swing=0.16,
    reverb_seconds=0.8,
    tail_seconds=1.2,
)
