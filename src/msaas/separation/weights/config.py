"""Reads a model's configuration: the yaml that Music-Source-Separation-Training (MSST) writes. Loads no torch.

Its sections are `audio`, `model`, `training` and `inference`. `!!python/tuple` is the only tag beyond plain yaml that
is read; any other is an error, so that a configuration never runs code. Aliases are refused, since a few lines of them
stand for more than any memory holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from msaas.catalogue.records import NETWORK_FAMILIES
from msaas.errors import ModelUnavailable

DEMUCS = "demucs"
OTHER_FAMILIES = tuple(sorted(family for family in NETWORK_FAMILIES if family != DEMUCS))

_NAME = re.compile(r"(hf://)?([\w.-]+/)?\w[\w.-]*")

# The keys of the `model` section that only this family has.
_KEYS = {
    "bs_roformer": {"freqs_per_bands"},
    "mdx23c": {"num_subbands", "num_scales", "num_blocks_per_scale", "bottleneck_factor"},
    "mel_band_roformer": {"num_bands"},
    "scnet": {"band_SR", "band_stride", "band_kernel"},
}
# With these keys it is a different network.
_OTHER_NETWORKS = {"time_conformer_depth", "freq_conformer_depth", "time_mamba_depth", "freq_mamba_depth"}


MAX_YAML_BYTES = 100_000  # those that people use have some 5 kB; PyYAML takes a second for this
MAX_CHUNK_SECONDS = 120  # a network's memory grows with its chunk or segment, which are about 10 s long
_MAX_NUMBER = 100  # characters; Python prints no integer of more than 4300 digits
_MAX_REASON = 500  # characters: an error may quote the file


class _Loader(yaml.SafeLoader):
    """yaml.SafeLoader with `!!python/tuple` and numbers like 1e-05, which YAML 1.1 reads as text; without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"aliases are not read: write the value in place of *{event.anchor}"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def _tuple(loader: _Loader, node: yaml.Node) -> tuple[Any, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(None, None, "a tuple must be a sequence", node.start_mark)
    return tuple(loader.construct_sequence(node, deep=True))


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    if len(node.value) > _MAX_NUMBER:
        problem = f"a number may have at most {_MAX_NUMBER} characters"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    whole = node.tag.endswith(":int")
    number: int | float = loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)
    return number


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+][0-9]+"), list("-+0123456789")
)  # with the sign: 955717e8 is a signature of Demucs


def read_yaml(path: Path) -> Any:
    """The content of a yaml file. Raises OSError, and ModelUnavailable if the file is larger than MAX_YAML_BYTES or its
    content cannot be read."""
    with path.open("rb") as file:
        text = file.read(MAX_YAML_BYTES + 1)
    if len(text) > MAX_YAML_BYTES:
        raise ModelUnavailable(f"{path} is larger than {MAX_YAML_BYTES} bytes, so it is not read as a configuration")
    try:
        return yaml.load(text.decode("utf-8"), Loader=_Loader)  # noqa: S506  (a subclass of SafeLoader)
    except Exception as error:  # PyYAML also raises what its conversions raise: ValueError, KeyError, RecursionError
        raise ModelUnavailable(not_a_list(path, error)) from error


def not_a_list(path: Path, error: Exception) -> str:
    """What is said of a yaml whose content is neither."""
    return f"{path} is not a list of models or a configuration ({type(error).__name__}: {shortened(str(error))})"


def shortened(reason: str) -> str:
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}…"


def valid_name(name: str) -> bool:
    """Whether `name` can be a model's: it becomes part of paths and URLs."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_config(content: Any) -> bool:
    """Whether a yaml's content is a configuration of MSST rather than Demucs' list of a bag's networks."""
    return isinstance(content, Mapping) and "models" not in content and bool({"model", "family"} & content.keys())


def family_of(content: Mapping[str, Any], path: Path) -> str:
    """The family that a configuration names (`family` or `model_type`), else the one whose keys it has.

    Raises ModelUnavailable if it names a family that is not supported, or if the keys are of none or of several.
    """
    training = content.get("training")
    named = content.get("family") or content.get("model_type")
    if not named and isinstance(training, Mapping):
        named = training.get("model_type")
    if named:
        if named not in OTHER_FAMILIES:
            raise ModelUnavailable(
                f"{path}: the family {named!r} is not supported; use one of {', '.join(OTHER_FAMILIES)}"
            )
        return str(named)
    model = content.get("model")
    keys = model.keys() if isinstance(model, Mapping) else set()
    found = [] if keys & _OTHER_NETWORKS else [family for family, own in _KEYS.items() if own <= keys]
    if len(found) != 1:
        raise ModelUnavailable(
            f"{path}: the keys of its section `model` do not tell the family; add a line `family: NAME` with one of "
            f"{', '.join(OTHER_FAMILIES)}"
        )
    return found[0]
