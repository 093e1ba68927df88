{{/* Where the controller beside an agent listens, as Open vSwitch sees the path: (dict "directory" … ). */}}
{{- define "weft.localOpenflow" -}}
unix:{{ .directory }}/weft-openflow.sock
{{- end }}

{{/* The ServiceAccount that the controller runs as. */}}
{{- define "weft.controllerAccount" -}}
{{ ternary "weft-controller" "weft-agent" (eq .Values.placement "central") }}
{{- end }}

{{/* The container of weft-controller: in pods of its own, or in the agents'. */}}
{{- define "weft.controllerContainer" -}}
{{- $central := eq .Values.placement "central" -}}
{{- $address := ternary "[$(POD_IP)]" "$(POD_IP)" (eq (include "weft.nodeIPFamily" .) "IPv6") -}}
{{- $openflow := printf "ssl:%s:%s" $address (toJson .Values.controller.openflowPort) -}}
- name: weft-controller
  image: {{ include "weft.image" (dict "of" .Values.image.controller "root" .) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [weft-controller]
  args:
    - --config=/etc/weft/config/controller.yaml
    {{- if $central }}
    - --identity=$(POD_NAME)
    - --openflow-listen={{ $openflow }}
    - --advertise={{ $openflow }}
    {{- else }}
    - --node-name=$(NODE_NAME)
    {{- end }}
  env:
    {{- if $central }}
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_IP
      valueFrom:
        fieldRef:
          fieldPath: status.podIP
    {{- else }}
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    {{- end }}
    {{- with include "weft.apiServer" . }}
    {{- . | trim | nindent 4 }}
    {{- end }}
  ports:
    {{- if $central }}
    - name: openflow
      containerPort: {{ toJson .Values.controller.openflowPort }}
    {{- end }}
    # Another name than the agent's, which may be in the same pod.
    - name: ctrl-health
      containerPort: {{ toJson .Values.controller.healthPort }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      {{- if and (not $central) (eq .Values.ovs.placement "host") }}
      add:
        # Open vSwitch's directory is its own user's, where the node runs it as one.
        - DAC_OVERRIDE
      {{- end }}
  # Restarted when its event loop has been stuck or a watch has ended for a minute.
  livenessProbe:
    {{- include "weft.healthCheck" (list "healthz" "ctrl-health") | nindent 4 }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # Ready: it has seen the whole cluster{{ if $central }}, so it works or could take over{{ end }}.
  readinessProbe:
    {{- include "weft.healthCheck" (list "readyz" "ctrl-health") | nindent 4 }}
    periodSeconds: 2
    timeoutSeconds: 5
  resources:
    {{- toYaml .Values.controller.resources | nindent 4 }}
  volumeMounts:
    - name: controller-config
      mountPath: /etc/weft/config
      readOnly: true
    {{- if $central }}
    - name: tls
      mountPath: /etc/weft/tls
      readOnly: true
    {{- else }}
    # Its socket for the switch, and the switch's database.
    - name: ovs-run
      mountPath: /run/openvswitch
    {{- end }}
{{- end }}
