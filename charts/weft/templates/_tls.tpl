{{/* Whether a renewal is asked for that this Secret has not seen: (dict "secret" … "wish" …). */}}
{{- define "weft.renewed" -}}
{{- if and .wish (ne .wish (dig "metadata" "annotations" "weft.dev/renewal" "" .secret)) }}yes{{ end }}
{{- end }}

{{/* Metadata of a Secret that helm makes: (dict "days" … "wish" … "root" $). */}}
{{- define "weft.generated" -}}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "weft.labels" .root | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-delete-policy: before-hook-creation
  weft.dev/expires: {{ dateInZone "2006-01-02" (now | mustDateModify (printf "+%dh" (mul 24 (int .days)))) "UTC" | quote }}
  weft.dev/renewal: {{ .wish | quote }}
{{- end }}

{{/* Refuses to take, and one day to delete, a Secret that somebody else has made: (dict "secret" …). */}}
{{- define "weft.checkGenerated" -}}
{{- if and .secret (not (dig "metadata" "annotations" "weft.dev/expires" "" .secret)) -}}
{{- $name := .secret.metadata.name -}}
{{- fail (printf "\n\nthe Secret %s is there, and this chart has not made it: to use it, set tls.source=secrets and name it in tls.secrets; or delete it" $name) -}}
{{- end -}}
{{- end }}
