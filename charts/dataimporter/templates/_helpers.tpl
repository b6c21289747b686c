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

{{/* The names in a list of references, as one word. */}}
{{- define "dataimporter.names" -}}
{{- $names := list -}}
{{- range . -}}{{- $names = append $names .name -}}{{- end -}}
{{- join "," $names -}}
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

{{/* Where the proxy is, as a rule of a policy. A list of nobody would open everything, so one is asked for. */}}
{{- define "dataimporter.proxy" -}}
{{- with .Values.egress.proxy -}}
{{- if not (or .cidrs .podLabels) -}}
{{- fail "egress.proxy.url is set: say where the proxy is, for network policies, in egress.proxy.cidrs, or in namespace and podLabels if it runs in this cluster" -}}
{{- end -}}
{{- if and .podLabels (not .namespace) -}}
{{- fail "egress.proxy.podLabels is set: name the namespace of these pods in egress.proxy.namespace" -}}
{{- end -}}
ports:
{{- range splitList "," (include "dataimporter.proxyPorts" $) }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
to:
{{- range .cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- if .podLabels }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}}
  podSelector:
    matchLabels: {{- toYaml .podLabels | nindent 6 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "dataimporter.proxyPorts" -}}
{{- with .Values.egress.proxy -}}
{{- if .ports -}}
{{- join "," .ports -}}
{{- else -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trimSuffix "/" .url)) | default "80" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dataimporter.proxyLabels" -}}
{{- $pairs := list -}}
{{- range $k, $v := .Values.egress.proxy.podLabels -}}{{- $pairs = append $pairs (printf "%s=%s" $k $v) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "dataimporter.dnsLabels" -}}
{{- $pairs := list -}}
{{- range $k, $v := .Values.dns.podLabels -}}{{- $pairs = append $pairs (printf "%s=%s" $k $v) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
