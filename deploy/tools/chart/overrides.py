"""What the chart's values may change, by the place of the value in its object."""

from __future__ import annotations

import json
import re

from deploy.tools.chart.emit import OPTIONAL, Override, Path
from deploy.tools.chart.merge import Value

OUR_IMAGE = re.compile(r"msaas-(?:rest|worker|logs|weights):(.+)")
EXAMPLE_HOST = "msaas.example.com"
NAMESPACE = "msaas"
SETTINGS = "msaas-settings"

# Stand in an object for what only a chart has.
CHECKSUM, STORAGE_CLASS, PULL_SECRETS, NODE_SELECTOR = "@checksum", "@storage-class", "@pull-secrets", "@node-selector"

EXPRESSIONS = {
    CHECKSUM: '{{ include (print $.Template.BasePath "/base/configmap-msaas-settings.yaml") . | sha256sum }}',
    STORAGE_CLASS: OPTIONAL + "{{ .Values.storageClass }}",
    PULL_SECRETS: "{{ .Values.imagePullSecrets | toJson }}",
    NODE_SELECTOR: "{{ .Values.worker.nodeSelector | toJson }}",
}

TRIGGERS = ("waiting", "in_work", "mixes", "mixing")  # of KEDA

# (kind, name) and path: the value that replaces what is written there.
PLACES: dict[tuple[str, str], dict[Path, str]] = {
    ("Deployment", "rest-server"): {("spec", "replicas"): "rest.replicas"},
    ("Deployment", "worker"): {("spec", "replicas"): "worker.replicas"},
    ("ScaledObject", "worker"): {
        ("spec", "minReplicaCount"): "worker.minReplicas",
        ("spec", "maxReplicaCount"): "worker.maxReplicas",
        **{("spec", "triggers", name, "metadata", "address"): "queueAddress" for name in TRIGGERS},
    },
    ("HorizontalPodAutoscaler", "rest-server"): {
        ("spec", "minReplicas"): "rest.minReplicas",
        ("spec", "maxReplicas"): "rest.maxReplicas",
    },
    ("HTTPRoute", "rest-server"): {
        ("spec", "parentRefs", "gateway", "name"): "gateway.name",
        ("spec", "parentRefs", "gateway", "namespace"): "gateway.namespace",
    },
    ("PersistentVolumeClaim", "msaas-weights"): {("spec", "resources", "requests", "storage"): "weightsStorage"},
}
# Containers whose resources may be set, and claims whose size: the first word of the value's name.
PARTS = {"rest-server": "rest", "worker": "worker", "redis": "redis", "minio": "store", "logs": "logs"}
IMAGES = {"redis": "redis", "minio": "store"}


def override_of(kind: str, name: str) -> Override:
    """For the object `name` of that kind."""
    places = PLACES.get((kind, name), {})
    part = PARTS.get(name, "") if kind in ("Deployment", "StatefulSet") else ""

    def override(path: Path, value: Value) -> str | None:
        if path in places:
            return _or(places[path], value)
        if kind == "Job" and path == ("metadata", "name"):
            return f"{value}-{{{{ .Release.Revision }}}}"  # a Job cannot be changed
        if part and (key := _of_part(part, path)):
            return _or(key, value)
        return _text(path, value)

    return override


def _of_part(part: str, path: Path) -> str | None:
    if path[-3:-1] in (("resources", "requests"), ("resources", "limits")) and path[-1] in ("cpu", "memory"):
        return f"{part}.resources.{path[-2]}.{path[-1]}"
    if path[-1] == "storage" and "volumeClaimTemplates" in path:
        return f"{part}.storage"
    if path[-1] == "image" and part in IMAGES.values():
        return f"{part}.image"
    return None


def _or(name: str, value: Value) -> str:
    quote = " | quote" if isinstance(value, str) else ""
    default = json.dumps(value)
    if isinstance(value, str) and with_names(value) != value:
        default = f"(tpl {json.dumps(with_names(value))} .)"
    return f'{{{{ include "msaas.or" (list .Values.{name} {default}){quote} }}}}'


def _text(path: Path, value: Value) -> str | None:
    if not isinstance(value, str):
        return None
    if value in EXPRESSIONS:
        return EXPRESSIONS[value]
    if path[-1] == "namespace" and value == NAMESPACE:
        return "{{ .Release.Namespace }}"
    if path[-1] in ("image", "reference") and (ours := OUR_IMAGE.fullmatch(value)):
        return f'{{{{ include "msaas.image" (list . "{value.partition(":")[0]}" "{ours[1]}") | quote }}}}'
    return f'"{with_names(value)}"' if with_names(value) != value else None


def with_names(text: str) -> str:
    """The text with the release's namespace and the operator's host in place of the examples."""
    text = text.replace(EXAMPLE_HOST, "{{ .Values.host }}")
    return text.replace(f".{NAMESPACE}.svc", ".{{ .Release.Namespace }}.svc")
