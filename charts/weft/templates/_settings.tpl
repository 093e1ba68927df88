{{/* Settings of the daemons (docs/settings.md). What differs from pod to pod they get as flags. */}}
{{- define "weft.controllerSettings" -}}
{{- if eq .Values.placement "central" }}
lease: {{ .Release.Namespace }}/weft-controller
tls-ca: /etc/weft/tls/ca.crt
tls-certificate: /etc/weft/tls/tls.crt
tls-key: /etc/weft/tls/tls.key
{{- else }}
openflow-listen: {{ include "weft.localOpenflow" (dict "directory" "/run/openvswitch") }}
{{- end }}
bridge: {{ .Values.ovs.bridge | quote }}
audit-seconds: {{ toJson .Values.controller.auditSeconds }}
health-address: {{ include "weft.healthAddress" (dict "port" .Values.controller.healthPort "root" .) | quote }}
log-level: {{ .Values.logLevel }}
{{- end }}

{{- define "weft.agentSettings" -}}
{{- $tls := include "weft.agentTLSDir" . -}}
{{- if eq .Values.placement "central" }}
controller-lease: {{ .Release.Namespace }}/weft-controller
published-ovsdb: ssl:{{ toJson .Values.ovs.databasePort }}
tls-ca: {{ $tls }}/ca.crt
tls-certificate: {{ $tls }}/tls.crt
tls-key: {{ $tls }}/tls.key
{{- else }}
# As Open vSwitch sees it.
controllers:
  - {{ include "weft.localOpenflow" (dict "directory" (ternary .Values.ovs.host.runDir "/run/openvswitch" (eq .Values.ovs.placement "host"))) | quote }}
{{- end }}
ovsdb: unix:/run/openvswitch/db.sock
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
health-address: {{ include "weft.healthAddress" (dict "port" .Values.agent.healthPort "root" .) | quote }}
log-level: {{ .Values.logLevel }}
{{- end }}
