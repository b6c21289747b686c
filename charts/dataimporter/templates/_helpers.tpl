{{- define "dataimporter.labels" -}}
{{- with .Values.commonLabels }}{{ toYaml . }}
{{ end -}}
app.kubernetes.io/name: dataimporter
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The same with further ones, from (root, labels); of two of one name the further one counts. */}}
{{- define "dataimporter.labelsWith" -}}
{{- merge (dict) (default dict .labels) (include "dataimporter.labels" .root | fromYaml) | toYaml -}}
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

{{/* Everybody's addresses: the operator draws the same line around workers (crates/domain, tenant/plan/network.rs; a test compares). */}}
{{- define "dataimporter.public" -}}
{{- $v4 := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "168.63.129.16/32" "169.254.0.0/16" "172.16.0.0/12" "192.0.0.0/24" "192.0.2.0/24" "192.88.99.0/24" "192.168.0.0/16" "198.18.0.0/15" "198.51.100.0/24" "203.0.113.0/24" "224.0.0.0/4" "240.0.0.0/4" -}}
{{- $v6 := list "2001::/32" "2001:db8::/32" "2002::/16" -}}
{{- range .Values.clusterCIDRs -}}
{{- if not (contains ":" .) -}}{{- $v4 = append $v4 . -}}
{{- else if regexMatch "^[23]" . -}}{{- $v6 = append $v6 . -}}
{{- end -}}
{{- end -}}
- ipBlock: {cidr: "0.0.0.0/0", except: {{ $v4 | uniq | toJson }}}
- ipBlock: {cidr: "2000::/3", except: {{ $v6 | uniq | toJson }}}
{{- end -}}

{{- define "dataimporter.dnsLabels" -}}
{{- $pairs := list -}}
{{- range $k, $v := .Values.dns.podLabels -}}{{- $pairs = append $pairs (printf "%s=%s" $k $v) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
