{{/* Labels of every object. Not for pod templates: the version in them would restart pods that need no restart. */}}
{{- define "weft.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: weft
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: weft
{{- end }}

{{/* By which a workload knows its pods: (list "agent"). They cannot change once a workload is there. */}}
{{- define "weft.selector" -}}
app.kubernetes.io/name: weft
app.kubernetes.io/component: {{ first . }}
{{- end }}

{{/* An image's name: (dict "of" .Values.image.agent "root" $). */}}
{{- define "weft.image" -}}
{{- $tag := .of.tag | default (ternary "" .root.Chart.AppVersion (ne .of.digest "")) -}}
{{- .of.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .of.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "weft.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the API server is, if it is not where the kubelet says. The kubelet sets the same variables; these win. */}}
{{- define "weft.apiServer" -}}
{{- with .Values.kubeAPIServer.host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ . | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ $.Values.kubeAPIServer.port | toJson | quote }}
{{- end }}
{{- end }}

{{/* IPv4 or IPv6: how addresses of nodes are written. */}}
{{- define "weft.nodeIPFamily" -}}
{{- $service := lookup "v1" "Service" "default" "kubernetes" -}}
{{- $seen := ternary "IPv6" "IPv4" (contains ":" (dig "spec" "clusterIP" "" $service)) -}}
{{- .Values.nodeIPFamily | default $seen }}
{{- end }}

{{/* Where a daemon serves health and metrics: (dict "port" 9440 "root" $). */}}
{{- define "weft.healthAddress" -}}
{{- $host := ternary .root.Values.metrics.bindAddress "127.0.0.1" .root.Values.metrics.enabled -}}
{{- ternary (printf "[%s]" $host) $host (contains ":" $host) }}:{{ toJson .port }}
{{- end }}

{{/* A probe's way to a daemon's health, which need not be reachable from anywhere but the node: (list "readyz" "health"). */}}
{{- define "weft.healthCheck" -}}
httpGet:
  host: 127.0.0.1
  path: /{{ first . }}
  port: {{ last . }}
{{- end }}

{{/* Name of the Secret with the certificate of a component: (dict "of" "agent" "root" $). */}}
{{- define "weft.tlsSecret" -}}
{{- $source := .root.Values.tls.source -}}
{{- if eq $source "secrets" -}}
{{- get .root.Values.tls.secrets .of -}}
{{- else -}}
weft-{{ .of }}-tls{{ ternary "-values" "" (eq $source "values") }}
{{- end -}}
{{- end }}

{{/* Changes when pods have to be restarted for other certificates. Nothing of the certificates themselves: what is
generated is not known when an upgrade leaves it as it is. */}}
{{- define "weft.tlsChecksum" -}}
{{- toJson .Values.tls | sha256sum }}
{{- end }}

{{/* Directory with ca.crt, tls.crt and tls.key, the same for the agent and for Open vSwitch. */}}
{{- define "weft.agentTLSDir" -}}
{{- ternary .Values.ovs.host.tlsDir "/etc/weft/tls" (eq .Values.ovs.placement "host") }}
{{- end }}

{{/* Whether helm talks to a cluster: every cluster has this namespace, and helm template sees none. */}}
{{- define "weft.inCluster" -}}
{{- if lookup "v1" "Namespace" "" "default" }}yes{{ end }}
{{- end }}
