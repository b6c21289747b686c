{{/* What is the same in all pods of the chart. */}}

{{- define "dataimporter.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* OpenShift assigns users itself, and its default constraint refuses a pod that asks for one. */}}
{{- define "dataimporter.podSecurity" -}}
{{- $adapt := dig "compatibility" "openshift" "adaptSecurityContext" "auto" (default dict .Values.global) -}}
{{- $openshift := .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
runAsNonRoot: true
{{- if not (or (eq $adapt "force") (and (eq $adapt "auto") $openshift)) }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Labels and annotations of a pod, from (root, component, its values). */}}
{{- define "dataimporter.podMetadata" -}}
labels:
  {{- include "dataimporter.labelsWith" (dict "root" .root "labels" .values.podLabels) | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- with .values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a pod runs, and with which secrets its image is fetched; from the same. */}}
{{- define "dataimporter.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
{{- $own := dict "labelSelector" (dict "matchLabels" (fromYaml (include "dataimporter.selector" .))) }}
topologySpreadConstraints:
{{- range .values.topologySpreadConstraints }}
- {{- ternary . (merge (deepCopy .) $own) (hasKey . "labelSelector") | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The values' own variables, after ours. */}}
{{- define "dataimporter.extraEnv" -}}
{{- range .extraEnv }}
- {name: {{ .name }}, value: {{ .value | quote }}}
{{- end }}
{{- end -}}
