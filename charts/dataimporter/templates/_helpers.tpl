{{- define "dataimporter.labels" -}}
app.kubernetes.io/name: dataimporter
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "dataimporter.selector" -}}
app.kubernetes.io/name: dataimporter
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "dataimporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The keeper as workers call it. */}}
{{- define "dataimporter.keeperUrl" -}}
https://dataimporter-keeper.{{ .Release.Namespace }}.svc:8443
{{- end -}}

{{/* The account whose writes the operator guard binds. */}}
{{- define "dataimporter.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:dataimporter-operator
{{- end -}}

{{- define "dataimporter.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "dataimporter.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "dataimporter.dnsLabels" -}}
{{- $pairs := list -}}
{{- range $k, $v := .Values.dns.podLabels -}}{{- $pairs = append $pairs (printf "%s=%s" $k $v) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
