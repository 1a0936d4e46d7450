"""Which parts a model makes of a stem that another model made. No I/O."""

from __future__ import annotations

from msaas.errors import InvalidOption
from msaas.options import Output, parts_of
from msaas.separation.model import LoadedModel


def refined_parts(stem: str, model: LoadedModel, *, by: tuple[str, int, int]) -> tuple[Output, ...]:
    """The parts that a model makes of a stem. by: name, rate and channels of the model that made the stem.

    Raises InvalidOption if it cannot.
    """
    name, rate, channels = by
    if (model.sample_rate, model.channels) != (rate, channels):
        raise InvalidOption(
            f"{model.name} cannot refine {stem}: it needs {model.sample_rate} Hz and {model.channels} channels, "
            f"but {name} makes {rate} Hz and {channels}"
        )
    return parts_of(stem, model.sources, complete=model.complete)
