{{/* What a schema cannot say, or not in words that help. */}}
{{- define "weft.check" -}}
{{- include "weft.checkNetwork" . -}}
{{- include "weft.checkConflist" . -}}
{{- include "weft.checkPorts" . -}}
{{- include "weft.checkTLS" . -}}
{{- end }}

{{- define "weft.checkNetwork" -}}
{{- $host := .Values.kubeAPIServer.host -}}
{{- if and (eq .Values.datapathType "netdev") (not .Values.transportInterface) -}}
{{- fail "\n\ndatapathType=netdev needs transportInterface: the interface of every node that becomes a port of the switch and that tunnels leave by" -}}
{{- end -}}
{{- if regexMatch "[][/ ]|^[^:]*:[0-9]+$" $host -}}
{{- fail (printf "\n\nkubeAPIServer.host=%s: give an address or a name alone, such as 192.0.2.1 or fd00::1, and the port in kubeAPIServer.port" $host) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "\n\nmetrics.serviceMonitor.enabled=true needs metrics.enabled=true: without it only the node itself may ask for metrics" -}}
{{- end -}}
{{- end }}

{{- define "weft.checkConflist" -}}
{{- with .Values.cni.conflist -}}
{{- $list := fromJson . -}}
{{- with get $list "Error" -}}
{{- fail (printf "\n\ncni.conflist is not a JSON object: %s; give the contents of a file, as with --set-file cni.conflist=FILE" .) -}}
{{- end -}}
{{- $types := list -}}
{{- range get $list "plugins" | default list -}}
{{- $types = append $types (get . "type") -}}
{{- end -}}
{{- if not (has "weft" $types) -}}
{{- fail "\n\ncni.conflist has no plugin of type weft in its plugins: pods would get no network from Weft" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "weft.checkPorts" -}}
{{- $ports := dict -}}
{{- range $key, $port := dict "controller.openflowPort" .Values.controller.openflowPort "controller.healthPort" .Values.controller.healthPort "agent.healthPort" .Values.agent.healthPort "ovs.databasePort" .Values.ovs.databasePort -}}
{{- $number := toString $port -}}
{{- if hasKey $ports $number -}}
{{- fail (printf "\n\n%s and %s are both %s: they are ports of the same node, and must differ" (get $ports $number) $key $number) -}}
{{- end -}}
{{- $_ := set $ports $number $key -}}
{{- end -}}
{{- end }}

{{- define "weft.checkTLS" -}}
{{- $tls := .Values.tls -}}
{{- if and (ne .Values.placement "central") (ne $tls.source "generated") -}}
{{- fail (printf "\n\ntls.source=%s is given, and placement=%s uses no certificates: controller and switch talk on their node only" $tls.source .Values.placement) -}}
{{- end -}}
{{- $named := dict "tls.secrets.controller" $tls.secrets.controller "tls.secrets.agent" $tls.secrets.agent -}}
{{- $pem := dict "tls.pem.controller.ca" $tls.pem.controller.ca "tls.pem.controller.certificate" $tls.pem.controller.certificate "tls.pem.controller.key" $tls.pem.controller.key "tls.pem.agent.ca" $tls.pem.agent.ca "tls.pem.agent.certificate" $tls.pem.agent.certificate "tls.pem.agent.key" $tls.pem.agent.key -}}
{{- include "weft.checkSource" (dict "source" $tls.source "is" "secrets" "values" $named) -}}
{{- include "weft.checkSource" (dict "source" $tls.source "is" "values" "values" $pem) -}}
{{- range $key, $text := $pem -}}
{{- if and $text (not (contains "-----BEGIN " $text)) -}}
{{- fail (printf "\n\n%s is not PEM text, which has a line -----BEGIN …: give the contents of the file, as with --set-file %s=FILE" $key $key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* All of these values are given if certificates come from there, and none if they do not. */}}
{{- define "weft.checkSource" -}}
{{- range $key, $value := .values -}}
{{- if and (eq $.source $.is) (not $value) -}}
{{- fail (printf "\n\ntls.source=%s needs %s" $.is $key) -}}
{{- else if and (ne $.source $.is) $value -}}
{{- fail (printf "\n\n%s is given, and tls.source=%s would ignore it: set tls.source=%s" $key $.source $.is) -}}
{{- end -}}
{{- end -}}
{{- end }}
