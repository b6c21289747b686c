{{/* Refuses a value whose kind this cluster does not have, in words, instead of an object that the API server does not know. */}}
{{- define "dataimporter.needsKind" -}}
{{- if not (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind)) -}}
{{- fail (printf "%s: this cluster has no %s (monitoring.coreos.com/v1). Install the Prometheus Operator first, or set %s to false; `helm template` has to be told: --api-versions monitoring.coreos.com/v1/%s" .value .kind .value .kind) -}}
{{- end -}}
{{- end -}}
