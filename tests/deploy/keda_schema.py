"""The part of KEDA's custom resources that the manifests use, strictly: what stands nowhere here is refused.

After the definitions `scaledobjects.keda.sh` and `triggerauthentications.keda.sh` (v1alpha1) and the pages of the scalers `redis` and
`metrics-api` of KEDA 2.17.
"""

from typing import Any

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def _fields(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": [*required], "additionalProperties": False}


def _trigger(kind: str, metadata: Schema) -> Schema:
    return _fields({"type": {"const": kind}, "name": _TEXT, "metadata": metadata}, {"authenticationRef": _fields({"name": _TEXT})})


_METADATA = _fields({"name": _TEXT, "namespace": _TEXT}, {"labels": {"type": "object"}})
_REDIS = _fields({"address": {"type": "string", "pattern": r"^[\w.-]+:\d+$"}, "listName": _TEXT, "listLength": _TEXT})
_METRICS_API = _fields(
    {"url": _TEXT, "format": {"enum": ["json", "xml", "yaml", "prometheus"]}, "valueLocation": _TEXT, "targetValue": _TEXT},
    {"authMode": {"enum": ["apiKey", "basic", "tls", "bearer"]}},
)
_MODIFIERS = _fields({"formula": _TEXT, "target": _TEXT}, {"metricType": {"enum": ["AverageValue", "Value"]}, "activationTarget": _TEXT})
_BEHAVIOR = _fields({"scaleDown": _fields({"stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600}})})
SCALED_OBJECT = _fields(
    {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": _METADATA,
        "spec": _fields(
            {
                "scaleTargetRef": _fields({"name": _TEXT}),
                "triggers": {"type": "array", "minItems": 1, "items": {"oneOf": [_trigger("redis", _REDIS), _trigger("metrics-api", _METRICS_API)]}},
            },
            {
                **dict.fromkeys(("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"), _COUNT),
                "advanced": _fields({"scalingModifiers": _MODIFIERS, "horizontalPodAutoscalerConfig": _fields({"behavior": _BEHAVIOR})}),
            },
        ),
    }
)
TRIGGER_AUTHENTICATION = _fields(
    {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "TriggerAuthentication"},
        "metadata": _METADATA,
        "spec": _fields({"secretTargetRef": {"type": "array", "items": _fields({"parameter": _TEXT, "name": _TEXT, "key": _TEXT})}}),
    }
)
KEDA: dict[str, Schema] = {"ScaledObject": SCALED_OBJECT, "TriggerAuthentication": TRIGGER_AUTHENTICATION}
