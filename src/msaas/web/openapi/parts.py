"""JSON Schemas that others are made of. No I/O."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


def an_object(properties: Schema, *optional: str, **more: Any) -> Schema:
    """All members are required except the optional ones. Later versions may add members."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


NAMES: Schema = {"type": "array", "items": {"type": "string"}}
