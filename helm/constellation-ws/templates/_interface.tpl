{{/* The interface table: where it comes from, and where the gateway finds it. */}}

{{- define "constellation-ws.checkInterface" -}}
{{- if and .Values.interface.toml .Values.interface.configMap }}
{{- fail "interface.configMap contains the table, so interface.toml must be empty." }}
{{- end }}
{{- end }}

{{/* The ConfigMap with the table; empty for the gateway's own table. */}}
{{- define "constellation-ws.interfaceConfigMap" -}}
{{- if .Values.interface.toml }}
{{- include "constellation-ws.fullname" . }}-interface
{{- else }}
{{- .Values.interface.configMap }}
{{- end }}
{{- end }}

{{- define "constellation-ws.interfaceKey" -}}
{{- ternary "interface.toml" .Values.interface.key (not (empty .Values.interface.toml)) }}
{{- end }}
