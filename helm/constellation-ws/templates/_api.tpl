{{/* The HTTP API for services: refusals that the schema cannot express, and the environment. */}}

{{- define "constellation-ws.checkApi" -}}
{{- $api := .Values.api }}
{{- if and $api.enabled (not (or $api.keys $api.existingSecret)) }}
{{- fail "api.enabled needs keys: store them in a Secret and name it in api.existingSecret, or set api.keys." }}
{{- end }}
{{- if and (not $api.enabled) (or $api.keys $api.existingSecret) }}
{{- fail "api.keys and api.existingSecret have no effect without api.enabled." }}
{{- end }}
{{- if and $api.keys $api.existingSecret }}
{{- fail "api.existingSecret contains the keys, so api.keys must be empty." }}
{{- end }}
{{- if hasKey .Values.secretConfig "CONSTELLATION_API_KEYS" }}
{{- fail "secretConfig.CONSTELLATION_API_KEYS has its own values: use api.keys or api.existingSecret." }}
{{- end }}
{{- if has (int $api.port) (list 7000 7756 7757 (int .Values.metrics.port)) }}
{{- fail (printf "api.port %d is in use: in each pod Socket.IO uses 7000, NestJS 7756, other pods 7757, and metrics.port is one too." (int $api.port)) }}
{{- end }}
{{- end }}

{{- define "constellation-ws.apiEnv" -}}
{{- $api := .Values.api }}
{{- if $api.enabled }}
- name: CONSTELLATION_API_PORT
  value: {{ $api.port | quote }}
{{- if $api.existingSecret }}
- name: CONSTELLATION_API_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ $api.existingSecret }}
      key: {{ $api.keysKey }}
{{- end }}
{{- end }}
{{- end }}
