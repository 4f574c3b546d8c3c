{{/* Names, labels and selectors of the objects. What is decided lives in _settings.tpl. */}}

{{- define "constellation-ws.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "constellation-ws.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "constellation-ws.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Refuses a name that Kubernetes does: that of a Service is a DNS label that begins with a letter. */}}
{{- define "constellation-ws.checkNames" -}}
{{- $name := include "constellation-ws.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- $from := "the name of the release" }}
{{- if .Values.nameOverride }}{{ $from = "nameOverride" }}{{ end }}
{{- if .Values.fullnameOverride }}{{ $from = "fullnameOverride" }}{{ end }}
{{- fail (printf "The objects would be named %q, from %s, and Kubernetes refuses that: a name has lower-case letters, digits and '-', begins with a letter and does not end with '-'. Set fullnameOverride to such a name." $name $from) }}
{{- end }}
{{- end }}

{{- define "constellation-ws.selector" -}}
app.kubernetes.io/name: {{ include "constellation-ws.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of an object; the selector's are never among the values that commonLabels may replace. */}}
{{- define "constellation-ws.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "constellation-ws.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: constellation-ws
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "constellation-ws.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "constellation-ws.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The IP families of a Service; the cluster's own where nothing is said. */}}
{{- define "constellation-ws.ipFamilies" -}}
{{- $families := dict }}
{{- with .Values.service.ipFamilyPolicy }}{{ $_ := set $families "ipFamilyPolicy" . }}{{ end }}
{{- with .Values.service.ipFamilies }}{{ $_ := set $families "ipFamilies" . }}{{ end }}
{{- if $families }}{{ toYaml $families }}{{ end }}
{{- end }}

{{- define "constellation-ws.image" -}}
{{- $repository := include "constellation-ws.repository" (dict "root" . "repository" .Values.image.repository) }}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* A repository in the registry of the whole release, if there is one: it replaces a registry that the repository names. */}}
{{- define "constellation-ws.repository" -}}
{{- $registry := get (default dict .root.Values.global) "imageRegistry" | trimSuffix "/" }}
{{- $parts := splitList "/" .repository }}
{{- if and $registry (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) }}
{{- $parts = rest $parts }}
{{- end }}
{{- prepend $parts $registry | compact | join "/" }}
{{- end }}

{{/* Annotations of an object: its own before those of its kind before those of all. */}}
{{- define "constellation-ws.annotations" -}}
{{- $values := .root.Values }}
{{- $all := merge dict (default dict .own) (default dict (get $values.kindAnnotations .kind)) $values.commonAnnotations }}
{{- if $all }}
annotations:
  {{- toYaml $all | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all pods of the chart have in common, Valkey's and the tests' too: none may be refused where the gateway's are admitted. */}}
{{- define "constellation-ws.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $secrets := .Values.image.pullSecrets }}
{{- range get (default dict .Values.global) "imagePullSecrets" }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
