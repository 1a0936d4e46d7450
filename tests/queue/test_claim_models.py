"""A worker claims the songs of the models that it runs and leaves the others where they are, in their order."""

import json
import uuid

import pytest

from msaas.queue import WAITING, Queue


def submit(queue, model="small", count=1):
    names = [str(uuid.uuid4()) for _ in range(count)]
    for name in names:
        queue.submit(name, {"model": model} if model else {})
    return names


def claim(queue, *models):
    found = queue.claim("w", models)
    return found and found.songhash


def test_songs_of_other_models_are_passed_by_and_keep_their_places(queue):
    big = submit(queue, "big", 2)
    small = submit(queue, "small", 2)
    big += submit(queue, "big")
    assert [claim(queue, "small"), claim(queue, "small"), claim(queue, "small")] == [*small, None]
    assert queue.waiting() == big
    assert [queue.get(name).attempts for name in big] == [0, 0, 0]
    assert [claim(queue, "big", "small") for _ in range(4)] == [*big, None]


def test_a_song_whose_stems_are_refined_needs_all_its_models(queue):
    (plain,) = submit(queue, "big")
    refined = str(uuid.uuid4())
    options = {"model": "big", "refine": {"drums": "small", "vocals": "other"}}
    queue.submit(refined, {"model": "big", "options": json.dumps(options)})
    assert claim(queue, "big", "small") == plain
    assert claim(queue, "big", "small") is None
    assert claim(queue, "small", "other") is None
    assert claim(queue, "other", "big", "small") == refined


@pytest.mark.parametrize(
    "options",
    [
        '{"refine": ',
        '{"refine": 7}',
        '"refine"',
        '{"refine": {"drums": null}}',
        '{"refine": ["other"]}',
        '{"refine": {"drums": null, "vocals": "other"}}',
        "[" * 9999,
    ],
)
def test_a_song_with_damaged_options_is_claimed_so_that_its_run_can_say_so(queue, options):
    name = str(uuid.uuid4())
    queue.submit(name, {"model": "big", "options": options})
    assert queue.get(name).models == ("big",)
    assert claim(queue, "big") == name


def test_a_song_waits_for_the_models_that_its_view_names_whatever_else_of_its_options_is_damaged(queue):
    name = str(uuid.uuid4())
    queue.submit(name, {"model": "big", "options": '{"format": 7, "refine": {"drums": "other"}}'})
    assert queue.get(name).models == ("big", "other")
    assert claim(queue, "big") is None
    assert claim(queue, "big", "other") == name


def test_a_worker_that_names_no_model_takes_all(queue):
    names = submit(queue, "big") + submit(queue, "small")
    assert [claim(queue), claim(queue)] == names


def test_a_song_pushed_by_hand_is_for_any_worker_until_it_has_a_model(queue, redis):
    name = str(uuid.uuid4())
    redis.rpush(WAITING, name)
    found = queue.claim("w", ["small"])
    assert found.songhash == name
    queue.renew(found, {"model": "small"})  # as a worker notes it
    assert queue.release(found)
    assert claim(queue, "big") is None
    assert claim(queue, "small") == name


def test_a_song_behind_thousands_of_another_model_is_found(queue, redis):
    submit(queue, "big")
    (head,) = queue.waiting()
    names = [str(uuid.uuid4()) for _ in range(2500)]
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hset(f"job:{name}", mapping={"state": "queued", "model": "big"})
            pipe.rpush(WAITING, name)
        pipe.execute()
    (small,) = submit(queue, "small")
    assert claim(queue, "small") == small
    assert claim(queue, "small") is None
    assert queue.counts().waiting == 2501
    assert claim(queue, "big") == head


def test_what_is_unusable_goes_whatever_stands_before_it(queue, redis):
    (big,) = submit(queue, "big")
    (small,) = submit(queue, "small")
    running = queue.claim("w", ["small"])
    redis.rpush(WAITING, "no songhash", running.songhash)
    redis.set(f"job:{(broken := str(uuid.uuid4()))}", "text")
    redis.rpush(WAITING, broken)
    (last,) = submit(queue, "small")
    assert claim(queue, "small") == last
    assert queue.waiting() == [big]
    assert set(queue.dead()) == {"no songhash", broken}
    assert running.songhash == small


def test_a_song_that_is_queued_twice_is_claimed_once(queue, redis):
    submit(queue, "big")
    (small,) = submit(queue, "small")
    redis.rpush(WAITING, small)
    assert claim(queue, "small") == small
    assert claim(queue, "small") is None
    assert small not in queue.waiting()


@pytest.mark.parametrize("models", [("small",), ("big",), ()])
def test_an_empty_queue_has_nothing_for_anybody(models, queue: Queue):
    assert claim(queue, *models) is None
