{{/* The console for operators: refusals that the schema cannot express, and the environment. */}}

{{- define "constellation-ws.checkConsole" -}}
{{- $console := .Values.console }}
{{- $keyed := eq $console.access "key" }}
{{- if and $console.enabled (kindIs "invalid" .Values.metrics.port) }}
{{- fail "console.enabled needs metrics.port: the console is served there." }}
{{- end }}
{{- if and $console.enabled $keyed (not (or $console.key $console.existingSecret)) }}
{{- fail "console.enabled needs a key: store it in a Secret and name it in console.existingSecret, set console.key, or set console.access=proxy if a proxy in front authenticates people." }}
{{- end }}
{{- if and (or $console.key $console.existingSecret) (not (and $console.enabled $keyed)) }}
{{- fail "console.key and console.existingSecret have no effect without console.enabled and console.access=key." }}
{{- end }}
{{- if and $console.key $console.existingSecret }}
{{- fail "console.existingSecret contains the key, so console.key must be empty." }}
{{- end }}
{{- if hasKey .Values.secretConfig "CONSTELLATION_CONSOLE_KEY" }}
{{- fail "secretConfig.CONSTELLATION_CONSOLE_KEY has its own values: use console.key or console.existingSecret." }}
{{- end }}
{{- end }}

{{- define "constellation-ws.consoleEnv" -}}
{{- $console := .Values.console }}
{{- if $console.enabled }}
- name: CONSTELLATION_CONSOLE
  value: {{ ternary "write" "read" $console.write }}
- name: CONSTELLATION_CONSOLE_ACCESS
  value: {{ $console.access }}
- name: CONSTELLATION_CONSOLE_EVENTS
  value: {{ $console.events }}
{{- if $console.existingSecret }}
- name: CONSTELLATION_CONSOLE_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $console.existingSecret }}
      key: {{ $console.keyKey }}
{{- end }}
{{- end }}
{{- end }}
