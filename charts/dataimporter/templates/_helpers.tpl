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

{{- define "dataimporter.keeperUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:dataimporter-keeper
{{- end -}}

{{/* CEL: the request comes from a controller of the cluster, which finishes deletions and puts the cluster's own objects into every namespace. */}}
{{- define "dataimporter.byTheCluster" -}}
'system:serviceaccounts:kube-system' in request.userInfo.?groups.orValue([])
|| request.userInfo.username in {{ concat (list "system:kube-controller-manager" "system:apiserver") .Values.controllers | toJson }}
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
