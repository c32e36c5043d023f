{{/* The groups of kinds that are served. */}}
{{- define "sluice.groups" -}}
{{- $groups := .Values.controllers | default (list "image" "source" "kustomize" "canary" "promotion" "notification") -}}
{{- join "," $groups -}}
{{- end -}}

{{/*
Labels of every object. Flux's clients find what belongs to an installation by
part-of and by instance, which is the name of the namespace.
*/}}
{{- define "sluice.labels" -}}
app.kubernetes.io/part-of: flux
{{ include "sluice.commonLabels" . }}
{{- end -}}

{{/* Those of CRDs: part-of is what `flux uninstall` deletes, and the kinds of Flagger stay. */}}
{{- define "sluice.commonLabels" -}}
app.kubernetes.io/instance: {{ .Release.Namespace }}
app.kubernetes.io/component: sluice
app.kubernetes.io/name: sluice
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
One generated object with the labels, and the namespace of the release where it
names one. Arguments: the root context, the object, the template of the labels.
*/}}
{{- define "sluice.object" -}}
{{- $root := index . 0 -}}
{{- $object := index . 1 -}}
{{- $labels := merge (dict) ($object.metadata.labels | default dict) (include (index . 2) $root | fromYaml) -}}
{{- $_ := set $object.metadata "labels" $labels -}}
{{- if $object.metadata.namespace -}}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace -}}
{{- end -}}
{{- range $object.subjects -}}
{{- $_ := set . "namespace" $root.Release.Namespace -}}
{{- end -}}
{{- toYaml $object -}}
{{- end -}}

{{- /* Secrets that the web page reads, by the name of their volume. */ -}}
{{- define "sluice.uiSecrets" -}}
{{- if .Values.ui.enabled }}
{{- with .Values.ui.tlsSecretName }}
ui-tls: {{ . }}
{{- end }}
{{- with .Values.ui.sessionKeySecretName }}
ui-session: {{ . }}
{{- end }}
{{- if .Values.ui.oidc.issuerURL }}
{{- with .Values.ui.oidc.clientSecretName }}
ui-oidc: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
