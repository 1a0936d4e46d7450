"""GET /apiv1/models: what a request may choose, with the catalogue's facts; and MSAAS_MODELS=all."""

from __future__ import annotations

import json
import uuid

import pytest

from msaas.catalogue import catalogue
from msaas.queue.worker_registry import Worker
from tests.support.audio.sounds import flac, tune

FACTS = ("family", "summary", "licence", "sdr", "speed", "bytes", "training", "note")


def models(client):
    return {model["name"]: model for model in client.get("/apiv1/models").json["models"]}


def post(client, **options):
    return client.post("/apiv1/separate", data=flac(tune(1)), content_type="audio/flac", query_string=options)


def test_a_model_of_the_catalogue_has_its_stems_and_licence_before_a_worker_has_loaded_it(make_app):
    client = make_app(models=("scnet_large",)).test_client()
    found = models(client)["scnet_large"]
    assert found["sources"] == ["drums", "bass", "other", "vocals"]
    assert found["licence"]["id"] == "MIT"
    assert {name: found[name] for name in FACTS} == {
        name: catalogue().entries["scnet_large"].facts()[name] for name in FACTS
    }
    refused = post(client, model="scnet_large", stems="guitar")
    assert refused.json["detail"].startswith("scnet_large has no stem 'guitar'")


def test_a_model_of_ones_own_has_no_facts_and_the_stems_that_a_worker_reports(make_app, queue):
    client = make_app(models=("mine",)).test_client()
    assert models(client)["mine"] == {
        "name": "mine",
        "sources": None,
        "workers": 0,
        "waiting_for": {"code": "no_worker", "detail": "no worker is ready yet; the song waits for one"},
        "seconds_per_audio_second": None,
        "refines": [],
        **dict.fromkeys(FACTS),
    }
    queue.publish_model("mine", {"sources": ["speech", "rest"]})
    assert models(client)["mine"]["sources"] == ["speech", "rest"]


def test_a_model_that_workers_could_not_load_says_why(make_app, queue):
    client = make_app(models=("mine",)).test_client()
    queue.announce(Worker("w", ("htdemucs_mini",), faults={"mine": "mine.yaml has no section `audio`"}))
    assert models(client)["htdemucs_mini"]["waiting_for"] is None
    assert models(client)["mine"]["waiting_for"] == {
        "code": "model_not_offered",
        "detail": "mine could not be loaded: mine.yaml has no section `audio`. The song waits; workers try again every "
        "5 minutes",
    }


def test_a_worker_that_loaded_the_model_knows_its_stems_better_than_the_catalogue(make_app, queue):
    queue.publish_model("htdemucs_mini", {"sources": ["a", "b"]})
    assert models(make_app().test_client())["htdemucs_mini"]["sources"] == ["a", "b"]


def test_with_all_a_request_may_choose_what_workers_offer_and_what_they_have_loaded_before(make_app, queue):
    client = make_app(models=("all", "scnet_small")).test_client()
    assert list(models(client)) == ["htdemucs_mini", "scnet_small"]
    assert post(client, model="mine").status_code == 422
    queue.announce(Worker("w", ("htdemucs_mini", "mine", "scnet_large")))
    queue.publish_model("older", {"sources": ["a", "b"]})
    assert list(models(client)) == ["htdemucs_mini", "scnet_small", "mine", "older", "scnet_large"]
    assert post(client, model="mine").status_code == 202
    queue.withdraw("w")
    assert list(models(client)) == ["htdemucs_mini", "scnet_small", "older"]


def test_without_all_only_the_named_models_may_be_chosen(make_app, queue):
    client = make_app(models=("scnet_small",)).test_client()
    queue.announce(Worker("w", ("htdemucs_mini", "mine")))
    assert list(models(client)) == ["htdemucs_mini", "scnet_small"]
    assert post(client, model="mine").status_code == 422


@pytest.mark.parametrize("accepted", [(), ("scnet_xl_ihf",)])
def test_all_leaves_out_models_whose_licence_nobody_accepted(make_app, queue, accepted):
    client = make_app(models=("all",), accept_unlicensed=frozenset(accepted)).test_client()
    queue.announce(Worker("w", ("htdemucs_mini", "scnet_xl_ihf")))
    assert list(models(client)) == ["htdemucs_mini", *accepted]
    assert client.get("/readyz").json["models"] == {"htdemucs_mini": 1, **dict.fromkeys(accepted, 1)}


def test_a_damaged_list_of_loaded_models_is_as_an_empty_one(make_app, redis):
    redis.set("models", "text")
    assert list(models(make_app(models=("all",)).test_client())) == ["htdemucs_mini"]


def test_songs_that_no_worker_can_run_are_not_before_a_new_one(make_app, queue, redis):
    client = make_app(models=("mine",)).test_client()
    queue.announce(Worker("w", ("htdemucs_mini",)))
    redis.hset("toWorkers:pace", mapping={"seconds_per_job": "100", "seconds_per_audio_second": "1"})
    for seconds, model in ((1000, "mine"), (30, "htdemucs_mini")):
        upload = json.dumps({"duration_seconds": seconds})
        queue.submit(str(uuid.uuid4()), {"model": model, "upload": upload})
    assert client.get("/apiv1/models").json["seconds_until_free"] == pytest.approx(30, abs=1)
    queue.announce(Worker("w", ("htdemucs_mini", "mine")))
    assert client.get("/apiv1/models").json["seconds_until_free"] == pytest.approx(1030, abs=1)


def test_a_model_whose_parts_cannot_be_named_is_refused_before_the_song_is_queued(make_app, queue):
    client = make_app(models=("mine",)).test_client()
    queue.publish_model("htdemucs_mini", {"sources": ["drums", "vocals"]})
    queue.publish_model("mine", {"sources": ["kick", "mp3"]})
    refused = post(client, refine="drums=mine")
    assert refused.status_code == 422
    assert refused.json["detail"] == "drums cannot be refined by a model that has a source named 'mp3'"
    assert queue.counts().waiting == 0


def test_with_all_a_model_that_no_worker_could_load_is_listed_with_the_reason(make_app, queue):
    client = make_app(models=("all",)).test_client()
    queue.announce(Worker("w", ("htdemucs_mini",), faults={"mine": "mine.ckpt is not a file of weights"}))
    assert "mine.ckpt is not a file of weights" in models(client)["mine"]["waiting_for"]["detail"]


def test_a_model_of_another_rate_is_refused_before_the_song_is_queued(make_app, queue):
    client = make_app(models=("mine",)).test_client()
    queue.publish_model("htdemucs_mini", {"sources": ["drums", "vocals"], "sample_rate": 44_100})
    queue.publish_model("mine", {"sources": ["kick", "snare"], "sample_rate": 48_000})
    refused = post(client, refine="drums=mine")
    assert refused.status_code == 422
    assert refused.json["detail"] == "mine cannot refine drums: it needs 48000 Hz, and htdemucs_mini makes 44100 Hz"
    queue.publish_model("mine", {"sources": ["kick", "snare"], "sample_rate": "damaged"})
    assert post(client, refine="drums=mine").status_code == 202
