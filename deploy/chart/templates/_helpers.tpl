{{/* An image of ours: list of the context, its name and its tag by default. Workers on GPUs have one of their own. */}}
{{- define "msaas.image" -}}
{{- $values := (index . 0).Values -}}
{{- $gpu := and $values.components.gpu (eq (index . 1) "msaas-worker") -}}
{{- with $values.image.registry }}{{ . }}/{{ end }}{{ index . 1 }}:{{ $values.image.tag | default (index . 2) }}{{ if $gpu }}-cuda{{ end }}
{{- end -}}

{{/* What values.schema.json cannot say. */}}
{{- define "msaas.checks" -}}
{{- if eq .Values.storage "external" -}}
{{- range $name := list "REDIS_HOST" "MINIO_HOST" -}}
{{- if not (hasKey $.Values.settings $name) -}}
{{- fail (printf "storage external needs settings.%s: its address" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.components.keda (not .Values.queueAddress) -}}
{{- fail "components.keda with storage external needs queueAddress: host:port of Redis, which KEDA asks" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A Secret that is made once and kept: dict of context, name and data. One that exists is rendered as it is, so that each
revision has it and can be rolled back to; one that is not Helm's is left alone. */}}
{{- define "msaas.secret" -}}
{{- $there := lookup "v1" "Secret" .context.Release.Namespace .name }}
{{- $managed := dig "metadata" "labels" "app.kubernetes.io/managed-by" "" $there }}
{{- if or (not $there) (eq $managed "Helm") }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  namespace: {{ .context.Release.Namespace }}
  labels:
    app.kubernetes.io/part-of: msaas
  annotations:
    helm.sh/resource-policy: keep
data:
  {{- range $key, $value := .data }}
  {{ $key }}: {{ dig "data" $key (b64enc $value) $there }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The first of a list of two, unless it is null: 0 is a value. */}}
{{- define "msaas.or" -}}
{{- if kindIs "invalid" (index . 0) }}{{ index . 1 }}{{ else }}{{ index . 0 }}{{ end -}}
{{- end -}}
