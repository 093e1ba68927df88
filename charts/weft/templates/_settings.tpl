{{/* Settings of the daemons (docs/settings.md). What differs from pod to pod they get as flags. */}}
{{- define "weft.controllerSettings" -}}
lease: {{ .Release.Namespace }}/weft-controller
bridge: {{ .Values.ovs.bridge | quote }}
audit-seconds: {{ toJson .Values.controller.auditSeconds }}
tls-ca: /etc/weft/tls/ca.crt
tls-certificate: /etc/weft/tls/tls.crt
tls-key: /etc/weft/tls/tls.key
health-address: {{ include "weft.healthAddress" (dict "port" .Values.controller.healthPort "root" .) | quote }}
log-level: {{ .Values.logLevel }}
{{- end }}

{{- define "weft.agentSettings" -}}
{{- $tls := include "weft.agentTLSDir" . -}}
controller-lease: {{ .Release.Namespace }}/weft-controller
ovsdb: unix:/run/openvswitch/db.sock
published-ovsdb: ssl:{{ toJson .Values.ovs.databasePort }}
cni-socket: /run/weft/cni.sock
bridge: {{ .Values.ovs.bridge | quote }}
datapath-type: {{ .Values.datapathType }}
{{- with .Values.transportInterface }}
transport-interface: {{ . | quote }}
{{- end }}
tunnel-type: {{ .Values.tunnelType }}
{{- with .Values.tunnelPort }}
tunnel-port: {{ toJson . }}
{{- end }}
{{- with .Values.defaultMTU }}
mtu: {{ toJson . }}
{{- end }}
leftover-seconds: {{ toJson .Values.agent.leftoverSeconds }}
# Where the chart mounts the node's own, because a container's is read-only.
proc-sys: /host/proc/sys
tls-ca: {{ $tls }}/ca.crt
tls-certificate: {{ $tls }}/tls.crt
tls-key: {{ $tls }}/tls.key
health-address: {{ include "weft.healthAddress" (dict "port" .Values.agent.healthPort "root" .) | quote }}
log-level: {{ .Values.logLevel }}
{{- end }}
