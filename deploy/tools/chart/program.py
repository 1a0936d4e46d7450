"""Renders base and components with kubectl, joins them, and writes the chart."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.tools.chart.emit import Template
from deploy.tools.chart.merge import ABSENT, Value, merged
from deploy.tools.chart.overrides import (
    CHECKSUM,
    NODE_SELECTOR,
    PULL_SECRETS,
    SETTINGS,
    STORAGE_CLASS,
    override_of,
    with_names,
)

REPOSITORY = Path(__file__).resolve().parents[3]
DEPLOY = REPOSITORY / "deploy"
SOURCE = DEPLOY / "chart"  # what is not made from kustomize

# The condition of each component, in the order in which an overlay would name them.
CONDITIONS = {
    "storage-seaweedfs": 'eq .Values.storage "seaweedfs"',
    "storage-silo": 'eq .Values.storage "silo"',
    "external": 'eq .Values.storage "external"',
    "weights-volume": 'eq .Values.weights "volume"',
    "weights-image": 'eq .Values.weights "image"',
    "production": ".Values.components.production",
    "ingress": 'has .Values.route (list "ingress" "ingress-nginx")',
    "ingress-nginx": 'eq .Values.route "ingress-nginx"',
    "gateway": 'eq .Values.route "gateway"',
    "gpu": ".Values.components.gpu",
    "keda": ".Values.components.keda",
    "autoscale-api": ".Values.components.autoscaleApi",
    "priorities": ".Values.components.priorities",
    "limits": ".Values.components.limits",
    "backup": ".Values.components.backup",
    "backup-songs": ".Values.components.backupSongs",
    "monitoring": ".Values.components.monitoring",
    "private-ca": ".Values.components.privateCa",
}
NO_ROUTE = "no route"  # of the chart alone: nothing in the Ingress' place

Name = tuple[str, str]  # kind and name
Objects = dict[Name, dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the Helm chart from the kustomize base and components.")
    parser.add_argument("--out", type=Path, default=Path("build/chart"), help="folder for the chart's folder msaas")
    parser.add_argument("--registry", default="", help="where the images are: the default of image.registry")
    parser.add_argument("--package", action="store_true", help="also make msaas-VERSION.tgz, with Helm")
    arguments = parser.parse_args()
    chart = write_chart(arguments.out, arguments.registry)
    sys.stdout.write(f"{chart}\n")
    if not arguments.package:
        return 0
    return subprocess.run([tool("helm"), "package", chart, "--destination", arguments.out], check=False).returncode


def tool(name: str) -> str:
    """The one beside this Python, else one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"make-chart: {name} is not installed")
    return found


def write_chart(out: Path, registry: str = "") -> Path:
    """Returns the chart's folder, written anew."""
    chart = out / "msaas"
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(SOURCE, chart)
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace('registry: ""', f"registry: {json.dumps(registry)}"))
    for path, text in templates():
        file = chart / "templates" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return chart


SETTINGS_DATA = """\
data:
{{- range $name, $value := merge (deepCopy .Values.settings) $settings }}
  {{ $name }}: {{ $value | quote }}
{{- end }}
"""


def templates() -> Iterator[tuple[str, str]]:
    """Path under templates/ and text of each."""
    base = objects_of([])
    variants = {component: objects_of([component]) for component in CONDITIONS}
    settings = _settings(CONDITIONS, base, variants)
    variants[NO_ROUTE] = {name: value for name, value in base.items() if name[0] != "Ingress"}
    conditions = CONDITIONS | {NO_ROUTE: 'eq .Values.route "none"'}
    for name in dict.fromkeys(name for objects in (base, *variants.values()) for name in objects):
        node = merged(base.get(name, ABSENT), {key: objects.get(name, ABSENT) for key, objects in variants.items()})
        folder = "base" if name in base else next(key for key, objects in variants.items() if name in objects)
        text = Template(conditions, override_of(*name)).render(node)
        if name == ("ConfigMap", SETTINGS):
            text = settings + text + SETTINGS_DATA
        yield f"{folder}/{name[0].lower()}-{name[1]}.yaml", text


def objects_of(components: list[str]) -> Objects:
    """The base with these components, without the Namespace, with places for what only the chart's values set."""
    text = re.sub(rf"{SETTINGS}-[a-z0-9]{{10}}\b", SETTINGS, render(components))
    text = re.sub(r"(image: msaas-worker:.*)-cuda$", r"\1", text, flags=re.MULTILINE)  # the helper msaas.image adds it
    objects = [found for found in yaml.safe_load_all(text) if found["kind"] != "Namespace"]
    for found in objects:
        _add_places(found)
    return {(found["kind"], found["metadata"]["name"]): _in_order(found) for found in objects}


def render(components: list[str], literals: dict[str, str] | None = None) -> str:
    """What kustomize makes of the base with these components. literals: merged into the settings."""
    with tempfile.TemporaryDirectory(dir=DEPLOY, prefix=".chart-") as folder:
        overlay: dict[str, Value] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "msaas",
            "resources": ["../base"],
            "components": [f"../components/{component}" for component in components],
        }
        if literals:
            pairs = [f"{key}={value}" for key, value in literals.items()]
            overlay["configMapGenerator"] = [{"name": SETTINGS, "behavior": "merge", "literals": pairs}]
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"make-chart: {done.stderr.strip()}")
    return done.stdout


def _add_places(found: dict[str, Any]) -> None:
    spec = found.get("spec", {})
    for claim in [found] if found["kind"] == "PersistentVolumeClaim" else spec.get("volumeClaimTemplates", []):
        claim["spec"]["storageClassName"] = STORAGE_CLASS
    pod = spec.get("jobTemplate", found).get("spec", {}).get("template")
    if not pod:
        return
    pod["spec"]["imagePullSecrets"] = PULL_SECRETS
    if found["metadata"]["name"] == "worker":
        pod["spec"]["nodeSelector"] = NODE_SELECTOR
    if found["kind"] == "Deployment":  # kustomize restarts their pods by the hash in the settings' name
        pod["metadata"].setdefault("annotations", {})["checksum/settings"] = CHECKSUM


def _in_order(found: dict[str, Any]) -> dict[str, Any]:
    first = ("apiVersion", "kind", "metadata")
    return {key: found[key] for key in (*first, *(key for key in found if key not in first))}


def _settings(conditions: dict[str, str], base: Objects, variants: dict[str, Objects]) -> str:
    """The ConfigMap: the base's settings, the components' over them, and the operator's over both."""
    name = "ConfigMap", SETTINGS
    settings = base[name].pop("data")
    lines = ["{{- $settings := dict }}", *(_assign(key, value) for key, value in settings.items())]
    for component, objects in variants.items():
        changed = {key: value for key, value in objects[name].pop("data").items() if settings.get(key) != value}
        if changed:
            lines += [
                f"{{{{- if {conditions[component]} }}}}",
                *(_assign(*pair) for pair in changed.items()),
                "{{- end }}",
            ]
    return "".join(f"{line}\n" for line in lines)


def _assign(key: str, value: str) -> str:
    text = with_names(value)
    expression = json.dumps(value) if text == value else f"(tpl {json.dumps(text)} .)"
    return f'{{{{- $_ := set $settings "{key}" {expression} }}}}'
