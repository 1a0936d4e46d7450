"""Takes songs to fetch from their queue."""

from __future__ import annotations

from functools import partial

from msaas.background_jobs.runner import JobRunner
from msaas.fetching.run import FetchContext, FetchRun


class Fetcher(JobRunner):
    """`stop` ends a download at once."""

    def __init__(self, context: FetchContext) -> None:
        self.context = context
        super().__init__("fetching", context.fetches, partial(FetchRun, context), context.scratch_dir, FetchRun.prefix)
