"""Generated calls, one after the other, of callers with and without keys: every check that schemathesis has."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as limits
from schemathesis.checks import load_all_checks, negative_data_rejection, positive_data_acceptance

from tests.support import generated  # noqa: F401 - registers a kind of body
from tests.support.api import as_base64, song_bytes

pytestmark = pytest.mark.slow

load_all_checks()
# what a JSON schema cannot say: base64 that is no song, options that exclude each other, names of stems and models
NOT_DECIDABLE = [positive_data_acceptance]
QUICK = limits(
    max_examples=6,
    stateful_step_count=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def lacks_only_its_key(case: schemathesis.Case) -> bool:
    """The key is added to each call, so that a call without one is no wrong call any more."""
    wrong = [part for part, info in (case.meta.components if case.meta else {}).items() if info.mode.is_negative]
    return [part.value for part in wrong] == ["header"]


@pytest.mark.parametrize("who", ["anna", "boss"])
def test_no_sequence_of_calls_gets_round_a_key_or_breaks_the_document(app, held, queue, who):
    schema = schemathesis.openapi.from_wsgi("/apiv1/openapi.json", app)

    class Calls(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self):
            queue.redis.flushdb()  # the same calls find the same service

        def get_call_kwargs(self, case):
            return {"headers": held.headers(who)}

        def before_call(self, case):
            """A generated body is never a song: half of the posts that are meant well are one."""
            well_meant = case.meta is None or case.meta.generation.mode.is_positive
            if case.operation.label == "POST /apiv1/separate" and well_meant and len(str(case.body)) % 2:
                song = song_bytes(hertz=300 + len(str(case.body)) % 7)
                case.body, case.media_type, case.query = {"mp3": as_base64(song)}, "application/json", {}

        def validate_response(self, response, case, **_):
            excluded = [*NOT_DECIDABLE, *([negative_data_rejection] if lacks_only_its_key(case) else [])]
            case.validate_response(response, excluded_checks=excluded, headers=held.headers(who))

    Calls.run(settings=QUICK)
