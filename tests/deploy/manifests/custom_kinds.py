"""The fields that our custom objects may have, as their operators define them. Fields that we never use are left out.

KEDA: apis/keda/v1alpha1 (2.13 and newer). Prometheus operator: monitoring.coreos.com/v1. Gateway API: v1 (1.2 and
newer). kubernetes-validate knows none of them, and a cluster drops a field that it does not know without a word.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "integer", "minimum": 1}
DURATION: Schema = {"type": "string", "pattern": "^[0-9]+(s|m|h)$"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}  # numbers have to be quoted


def fields(required: Schema, **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": required | optional,
        "required": sorted(required),
        "additionalProperties": False,
    }


def some(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


SCALING_MODIFIERS = fields(
    {"formula": TEXT, "target": TEXT},
    activationTarget=TEXT,
    metricType={"enum": ["AverageValue", "Value"]},
)
TRIGGER = fields(
    {"type": TEXT, "metadata": TEXTS},
    name={"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9_]*$"},  # a variable of the formula
    authenticationRef=fields({"name": TEXT}),
)
SCALED_OBJECT = fields(
    {"scaleTargetRef": fields({"name": TEXT}), "triggers": some(TRIGGER)},
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    pollingInterval=SECONDS,
    cooldownPeriod=COUNT,
    advanced=fields(
        {},
        restoreToOriginalReplicaCount={"type": "boolean"},
        scalingModifiers=SCALING_MODIFIERS,
        horizontalPodAutoscalerConfig=fields({"behavior": {"type": "object"}}),
    ),
)
ENDPOINTS = some(fields({"port": TEXT}, path=TEXT, interval=DURATION))
SELECTOR = fields({"matchLabels": TEXTS})
ALERT = fields({"alert": TEXT, "expr": TEXT, "labels": TEXTS, "annotations": TEXTS}, **{"for": DURATION})
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
TIME: Schema = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
PATH = fields({"type": {"enum": ["PathPrefix", "Exact"]}, "value": {"type": "string", "pattern": "^/"}})
ROUTE_RULE = fields(
    {"matches": some(fields({"path": PATH})), "backendRefs": some(fields({"name": TEXT, "port": PORT}))},
    timeouts=fields({}, request=TIME, backendRequest=TIME),
)
HTTP_ROUTE = fields(
    {"parentRefs": some(fields({"name": TEXT}, namespace=TEXT, sectionName=TEXT)), "rules": some(ROUTE_RULE)},
    hostnames=some(TEXT),
)

CUSTOM: dict[str, Schema] = {
    "ScaledObject": SCALED_OBJECT,
    "TriggerAuthentication": fields(
        {"secretTargetRef": some(fields({"parameter": TEXT, "name": TEXT, "key": TEXT}))},
    ),
    "HTTPRoute": HTTP_ROUTE,
    "ServiceMonitor": fields({"selector": SELECTOR, "endpoints": ENDPOINTS}),
    "PodMonitor": fields({"selector": SELECTOR, "podMetricsEndpoints": ENDPOINTS}),
    "PrometheusRule": fields({"groups": some(fields({"name": TEXT, "rules": some(ALERT)}))}),
}
