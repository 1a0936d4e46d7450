"""Options, songhashes, tracks and records: pure functions, no servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.errors import InvalidOption, NotFound
from msaas.jobs import WEIGHTS_VERSIONS, Job, State, Track, parse_songhash, songhash
from msaas.options import Options, parts_of

SHA = "ab" * 32
HASH = "0f8fad5b-d9cb-469f-a165-70867728950e"


QUALITIES = {"fast": {"overlap": 0.1}, "balanced": {}, "best": {"model": "htdemucs_ft", "shifts": 5}}


def parse(**given_options):
    return Options.parse(
        given_options, default_model="htdemucs", allowed=("htdemucs", "htdemucs_ft"), qualities=QUALITIES
    )


def names(outputs):
    return tuple(output.name for output in outputs)


def test_defaults_named_or_left_out_give_the_same_songhash():
    named = parse(model="htdemucs", format="mp3", bitrate="320", stems=[], two_stems="")
    assert songhash(SHA, named) == songhash(SHA, parse())


def test_the_order_of_stems_does_not_change_the_songhash():
    assert songhash(SHA, parse(stems=["vocals", "drums"])) == songhash(SHA, parse(stems="drums, vocals"))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "htdemucs_ft"},
        {"format": "flac"},
        {"bitrate": 128},
        {"two_stems": "vocals"},
        {"stems": "bass"},
        {"overlap": 0.5},
        {"shifts": 1},
        {"refine": {"drums": "htdemucs"}},
        {"sample_rate": "source"},
        {"sample_rate": 48000},
        {"mono": True},
        {"start": 1},
        {"end": 60},
        {"format": "m4a"},
        {"format": "opus"},
        {"format": "stems.m4a"},
    ],
)
def test_each_option_changes_the_songhash(other):
    assert songhash(SHA, parse(**other)) != songhash(SHA, parse())


def test_a_depth_changes_the_songhash_unless_it_is_the_formats_own():
    for format_, own, other in (("flac", "24", "16"), ("wav", "32f", "24")):
        plain = songhash(SHA, parse(format=format_))
        assert songhash(SHA, parse(format=format_, bit_depth=own)) == plain
        assert songhash(SHA, parse(format=format_, bit_depth=other)) != plain
    assert songhash(SHA, parse(format="opus", sample_rate="48000")) == songhash(SHA, parse(format="opus"))
    assert songhash(SHA, parse(mono="false", sample_rate="", bit_depth=None)) == songhash(SHA, parse())


def test_a_file_for_djs_takes_four_stems():
    options = parse(format="stems.m4a")
    assert names(options.outputs(("drums", "bass", "other", "vocals"))) == ("drums", "bass", "other", "vocals")
    with pytest.raises(InvalidOption, match="4 stems"):
        options.outputs(("drums", "bass", "other", "vocals", "guitar", "piano"))


def test_a_part_is_counted_in_microseconds():
    assert songhash(SHA, parse(start="12.0000001", end="20")) == songhash(SHA, parse(start=12, end=20.0))
    assert songhash(SHA, parse(start=0)) == songhash(SHA, parse())
    assert Options.from_json(parse(start=1.5, end=2).to_json()) == parse(start=1.5, end=2)


def test_a_job_of_a_part_is_as_long_as_the_part():
    record = {"state": "queued", "model": "m", "options": parse(start=10, end=40).to_json()}
    for declared, seconds in ((200, 30), (25, 15), (5, 0)):
        assert (
            Job.from_hash("x", record | {"upload": f'{{"duration_seconds": {declared}}}'}).duration_seconds == seconds
        )


def test_rates_and_switches_are_numbers_or_texts():
    assert (
        parse(sample_rate="44100", mono="true")
        == parse(sample_rate=44_100, mono=True)
        == parse(sample_rate="44100", mono="1")
    )


@pytest.mark.parametrize(
    ("options", "rate", "names"),
    [({}, 96_000, "96000"), ({"format": "m4a"}, 192_000, "192000"), ({"bitrate": 320}, 22_050, "bitrate 320")],
)
def test_a_song_whose_own_rate_a_format_does_not_have_is_refused(options, rate, names):
    with pytest.raises(InvalidOption, match=names):
        parse(sample_rate="source", **options).refuse_source(rate)
    parse(**options).refuse_source(rate)


def test_other_audio_has_another_songhash():
    assert songhash("cd" * 32, parse()) != songhash(SHA, parse())


def test_a_songhash_stays_the_same_from_release_to_release():
    # Changing these values orphans stored stems: they move with RESULT_VERSION, and a model's with its number in
    # WEIGHTS_VERSIONS.
    assert songhash(SHA, parse()) == "d15ec45f-b692-5420-aab0-597906dea402"
    assert songhash(SHA, parse(), "anna") == "4c26b76f-60bc-54ae-89e6-4cbe947ed2bd"
    assert songhash(SHA, parse(format="flac")) == "304ec786-7955-563b-8af8-e85f4aeabaf6"
    assert songhash(SHA, parse(format="wav", stems="drums,bass")) == "2cadad16-78c7-5945-8d49-4786b5d580b4"
    assert songhash(SHA, parse(bitrate=128, two_stems="vocals")) == "032a8588-d494-5f05-ad9a-5faabd50f05b"
    assert songhash(SHA, parse(model="htdemucs_ft")) == "4bf1fb3e-c37d-5dc1-8b09-9376e0d3c995"


def test_new_weights_of_one_model_leave_the_stems_of_others(monkeypatch):
    models = {"default_model": "htdemucs", "allowed": ("htdemucs", "htdemucs_mini")}
    given_options = {
        "new": {"model": "htdemucs_mini"},
        "refining": {"refine": {"drums": "htdemucs_mini"}},
        "other": {},
    }
    asked = {name: Options.parse(options, **models) for name, options in given_options.items()}

    def changed_by(model: str, version: int) -> set[str]:
        before = {name: songhash(SHA, options) for name, options in asked.items()}
        monkeypatch.setitem(WEIGHTS_VERSIONS, model, version)
        return {name for name, options in asked.items() if songhash(SHA, options) != before[name]}

    assert changed_by("htdemucs_mini", 99) == {"new", "refining"}
    assert changed_by("htdemucs", 2) == {"refining", "other"}, "whatever the numbers of other models are"


def test_a_quality_stands_for_options_and_options_given_themselves_win():
    best = parse(quality="best")
    assert (best.model, best.overlap, best.shifts) == ("htdemucs_ft", None, 5)
    assert parse(quality="best", shifts=2, model="htdemucs").shifts == 2
    assert songhash(SHA, best) == songhash(SHA, parse(model="htdemucs_ft", shifts=5))
    assert songhash(SHA, parse(quality="balanced", overlap="")) == songhash(SHA, parse())


@pytest.mark.parametrize(
    ("options", "work"),
    [
        ({}, 1),
        ({"shifts": 1}, 1),
        ({"shifts": 4, "overlap": 0.5}, 6),
        ({"shifts": 2, "refine": {"drums": "htdemucs", "vocals": "htdemucs"}}, 6),
    ],
)
def test_work_counts_the_runs_and_segments_of_the_model(options, work):
    assert parse(**options).work == pytest.approx(work)


@pytest.mark.parametrize(
    ("options", "work"),
    [
        ({"overlap": 1}, 7.5),
        ({"overlap": -1}, 0.75),
        ({"shifts": 10**9}, 10),
        ({"shifts": "2"}, 1),
        ({"overlap": []}, 1),
        ({"refine": ["drums"]}, 1),
        ({"refine": {"drums": 7}}, 1),
        ({"refine": {str(number): "htdemucs" for number in range(1000)}}, 33),
    ],
)
def test_damaged_numbers_of_a_record_have_a_bounded_work(options, work):
    assert Job(HASH, State.QUEUED, model="htdemucs", options={"model": "htdemucs"} | options).work == pytest.approx(
        work
    )


@pytest.mark.parametrize(("first", "known"), [(0.25, True), (None, True), ("0.25", False), (float("nan"), False)])
def test_the_first_beat_of_a_tempo_may_be_left_open(first, known):
    tempo = {"bpm": 120.0, "confidence": 0.5, "first_beat_seconds": first}
    job = Job(HASH, State.DONE, model="htdemucs", options={"model": "htdemucs"}, result={"analysis": {"tempo": tempo}})
    assert job.analysis == {"loudness": None, "tempo": tempo if known else None, "key": None}


def test_options_survive_their_record():
    options = parse(stems=["drums"], format="wav", overlap=0.5, shifts=3, refine={"drums": "htdemucs_ft"})
    assert Options.from_json(options.to_json()) == options == Options.from_fields(options.to_fields())


def test_refine_is_given_as_an_object_or_as_text():
    given = {"vocals": "htdemucs_ft", "drums": "htdemucs"}
    options = parse(refine=given)
    assert options.refine == (("drums", "htdemucs"), ("vocals", "htdemucs_ft"))
    assert parse(refine=" vocals = htdemucs_ft,drums=htdemucs") == options
    assert options.models == ("htdemucs", "htdemucs_ft")
    assert parse(refine={}) == parse(refine="") == parse()


@pytest.mark.parametrize("source", ["mp3", "opus", "stems", "Lead Vocals", "a.b", "", "a" * 33, "residual"])
def test_a_source_after_which_no_part_can_be_named_is_refused_by_its_name(source):
    with pytest.raises(InvalidOption, match=rf"drums cannot be refined by a model .*{source!r}"):
        parts_of("drums", ["kick", source], complete=False)


def test_the_name_of_a_track_has_one_meaning_in_each_format():
    name = "00000000-0000-4000-8000-000000000000"
    track = Track.parse(f"{name}-drums.stems.m4a")
    assert (track.stem, track.extension) == ("drums", "stems.m4a")
    assert parts_of("drums", ["kick", "residual"], complete=True)[1].name == "drums.residual"


def test_a_stem_that_is_not_made_cannot_be_refined():
    assert names(parse(two_stems="vocals", refine="no_vocals=htdemucs").outputs(("drums", "vocals")))
    for chosen in ({}, {"stems": "vocals"}, {"two_stems": "vocals"}):
        with pytest.raises(InvalidOption, match=r"refine names the stem 'bass'.*vocals"):
            parse(refine="bass=htdemucs", **chosen).outputs(("drums", "vocals"))


@pytest.mark.parametrize("complete", [True, False])
def test_parts_are_named_after_their_stem_and_add_up_to_it(complete):
    parts = parts_of("drums", ("kick", "snare"), complete=complete)
    assert names(parts) == ("drums.kick", "drums.snare", "drums.residual")[: 2 if complete else 3]
    assert complete or (parts[2].sources, parts[2].rest) == ((0, 1), True)


@pytest.mark.parametrize(
    ("given_options", "names"),
    [
        ({"model": "spleeter"}, "spleeter"),
        ({"format": "ogg"}, "ogg"),
        ({"bitrate": 321}, "321"),
        ({"bitrate": "fast"}, "fast"),
        ({"bitrate": True}, "True"),
        ({"format": "flac", "bitrate": 320}, "flac"),
        ({"stems": "../etc"}, "../etc"),
        ({"quality": "loud"}, "loud"),
        ({"quality": ["fast"]}, "fast"),
        ({"overlap": 0.91}, "0.91"),
        ({"overlap": "nan"}, "nan"),
        ({"overlap": True}, "True"),
        ({"shifts": 11}, "11"),
        ({"shifts": 1.5}, "1.5"),
        ({"shifts": False}, "False"),
        ({"sample_rate": 96_000}, "96000"),
        ({"sample_rate": True}, "True"),
        ({"sample_rate": "44100.0"}, "44100.0"),
        ({"format": "opus", "sample_rate": 44_100}, "48000"),
        ({"format": "opus", "sample_rate": "source"}, "48000"),
        ({"format": "opus", "bitrate": 320}, "320"),
        ({"bit_depth": 16}, "flac, wav"),
        ({"format": "flac", "bit_depth": "32f"}, "16, 24"),
        ({"format": "wav", "bit_depth": 8}, "16, 24, 32f"),
        ({"format": "wav", "bit_depth": ["16"]}, "bit_depth"),
        ({"mono": "yes"}, "mono"),
        ({"format": "stems.m4a", "mono": True}, "stems.m4a"),
        ({"format": "stems.m4a", "stems": "vocals"}, "stems.m4a"),
        ({"format": "stems.m4a", "two_stems": "vocals"}, "stems.m4a"),
        ({"format": "stems.m4a", "sample_rate": 48_000}, "44100"),
        ({"start": -1}, "-1"),
        ({"start": "nan"}, "nan"),
        ({"end": "inf"}, "inf"),
        ({"end": True}, "True"),
        ({"end": 0}, "end 0"),
        ({"start": 5, "end": 5}, "end 5"),
        ({"start": "1:30"}, "1:30"),
        ({"mono": 1.0}, "mono"),
        ({"mono": {"a": 1}}, "mono"),
        ({"stems": 7}, "stems"),
        ({"two_stems": ["vocals"]}, "two_stems"),
        ({"stems": ["vocals"], "two_stems": "vocals"}, "two_stems"),
        ({"refine": "drums"}, "refine"),
        ({"refine": ["drums"]}, "refine"),
        ({"refine": {"drums": "spleeter"}}, "spleeter"),
        ({"refine": {"drums": 7}}, "7"),
        ({"refine": {"../etc": "htdemucs"}}, "../etc"),
        ({"refine": "=htdemucs"}, "refine"),
        ({"refine": ","}, "refine"),
        ({"refine": "drums=htdemucs,drums=htdemucs_ft"}, "twice"),
        ({"refine": {"drums": ""}}, "model"),
    ],
)
def test_a_wrong_option_is_refused_by_name(given_options, names):
    with pytest.raises(InvalidOption, match=names.replace(".", r"\.")):
        parse(**given_options)


def test_two_stems_publishes_the_stem_and_the_rest():
    assert names(parse(two_stems="vocals").outputs(("drums", "vocals"))) == ("vocals", "no_vocals")


def test_a_subset_comes_in_the_models_order():
    assert names(parse(stems=["vocals", "drums"]).outputs(("drums", "bass", "vocals"))) == ("drums", "vocals")


def test_a_stem_the_model_has_not_is_refused_with_those_it_has():
    with pytest.raises(InvalidOption, match=r"piano.*drums, bass"):
        parse(stems="piano").outputs(("drums", "bass"))


@pytest.mark.parametrize("extension", [None, "mp3", "flac", "wav"])
def test_a_track_is_taken_apart_and_put_together(extension):
    track = Track.parse(f"{HASH}-no_vocals" + (f".{extension}" if extension else ""))
    assert (track.songhash, track.stem, track.extension) == (HASH, "no_vocals", extension)
    assert track.object_name("mp3") == f"{HASH}-no_vocals.mp3"


@pytest.mark.parametrize("extension", [None, "mp3", "flac", "wav"])
def test_a_track_of_a_part_is_not_taken_for_one_with_an_extension(extension):
    track = Track.parse(f"{HASH}-drums.kick" + (f".{extension}" if extension else ""))
    assert (track.stem, track.extension) == ("drums.kick", extension)
    assert Track.parse(f"{HASH}-drums.mp3").stem == "drums"


@pytest.mark.parametrize(
    "text", ["", HASH, f"{HASH}-", f"{HASH}-../x", f"{HASH}-a.b.exe", f"{HASH}-a..mp3", f"x{HASH}-a", f"{HASH}-a\n"]
)
def test_what_is_no_track_never_becomes_one(text):
    with pytest.raises(NotFound):
        Track.parse(text)


@given(st.text(max_size=80))
def test_no_text_at_all_breaks_the_track_parser(text):
    try:
        track = Track.parse(text)
    except NotFound:
        return
    assert "/" not in track.object_name("mp3")


def test_a_songhash_is_read_in_any_case_and_nothing_else():
    assert parse_songhash(HASH.upper()) == HASH
    for wrong in ("", "x", HASH.replace("-", ""), "{" + HASH[1:-1] + "}"):
        with pytest.raises(NotFound):
            parse_songhash(wrong)


def test_a_bare_record_reads_as_queued():
    job = Job.from_hash(HASH, {})
    assert job.state is State.QUEUED
    assert job.stem_extensions == {}
