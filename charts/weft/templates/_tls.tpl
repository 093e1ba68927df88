{{/* Whether a renewal is asked for that this Secret has not seen: (dict "secret" … "wish" …). */}}
{{- define "weft.renewed" -}}
{{- if and .wish (ne .wish (dig "metadata" "annotations" "weft.dev/renewal" "" .secret)) }}yes{{ end }}
{{- end }}

{{/* The date so many days from now: (list 90). */}}
{{- define "weft.inDays" -}}
{{- dateInZone "2006-01-02" (now | mustDateModify (printf "+%dh" (mul 24 (int (first .))))) "UTC" -}}
{{- end }}

{{/* Metadata of a Secret that helm makes: (dict "expires" … "wish" … "root" $). */}}
{{- define "weft.generated" -}}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "weft.labels" .root | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-delete-policy: before-hook-creation
  weft.dev/expires: {{ .expires | quote }}
  weft.dev/renewal: {{ .wish | quote }}
{{- end }}

{{/* Refuses to take, and one day to delete, a Secret that somebody else has made: (dict "secret" …). */}}
{{- define "weft.checkGenerated" -}}
{{- if and .secret (not (dig "metadata" "annotations" "weft.dev/expires" "" .secret)) -}}
{{- $name := .secret.metadata.name -}}
{{- fail (printf "\n\nthe Secret %s is there, and this chart has not made it: to use it, set tls.source=secrets and name it in tls.secrets; or delete it" $name) -}}
{{- end -}}
{{- end }}

{{/*
The date on which the first of these Secrets expires, if it is not far, and unless this upgrade makes others: (dict "kind"
"tls" "root" $) for certificates, "ca" for authorities.
*/}}
{{- define "weft.expiry" -}}
{{- $chosen := .root.Values.tls.generated -}}
{{- $dates := list (include "weft.inDays" (list 90)) -}}
{{- range $of := list "controller" "agent" -}}
{{- $secret := lookup "v1" "Secret" $.root.Release.Namespace (printf "weft-%s-%s" $of $.kind) -}}
{{- $authority := lookup "v1" "Secret" $.root.Release.Namespace (printf "weft-%s-ca" $of) -}}
{{- $renewed := include "weft.renewed" (dict "secret" $authority "wish" $chosen.authorityRenewal) -}}
{{- if eq $.kind "tls" -}}
{{- $renewed = or $renewed (include "weft.renewed" (dict "secret" $secret "wish" $chosen.renewal)) -}}
{{- end -}}
{{- $expires := dig "metadata" "annotations" "weft.dev/expires" "" $secret -}}
{{- if and $expires (not $renewed) -}}
{{- $dates = append $dates $expires -}}
{{- end -}}
{{- end -}}
{{- $soonest := first (sortAlpha $dates) -}}
{{- if lt $soonest (include "weft.inDays" (list 90)) }}{{ $soonest }}{{ end -}}
{{- end }}
