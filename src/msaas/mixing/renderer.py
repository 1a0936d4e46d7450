"""Takes mixes from their queue."""

from __future__ import annotations

from functools import partial

from msaas.background_jobs.runner import JobRunner
from msaas.mixing.run import MixContext, MixRun


class MixRenderer(JobRunner):
    def __init__(self, context: MixContext) -> None:
        self.context = context
        super().__init__("mixing", context.mixes, partial(MixRun, context), context.scratch_dir, MixRun.prefix)
