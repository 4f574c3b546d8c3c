{{/* Who may join a chat: refusals that the schema cannot express, and the environment. */}}

{{- define "constellation-ws.checkChatAccess" -}}
{{- $access := .Values.chatAccess }}
{{- if and (eq $access.mode "claim") (ne .Values.auth.mode "jwt") }}
{{- fail "chatAccess.mode claim needs auth.mode jwt: without tokens no chats are listed for a user." }}
{{- end }}
{{- if and (eq $access.mode "http") (not (regexMatch "^https?://" $access.url)) }}
{{- fail "chatAccess.mode http needs the URL of the API in chatAccess.url, such as http://api:3000/chat-access." }}
{{- end }}
{{- if and (eq $access.mode "nest") (not (hasPrefix "tcp://" $access.url)) }}
{{- fail "chatAccess.mode nest needs the URL of the API in chatAccess.url, such as tcp://api:3001." }}
{{- end }}
{{- if and (or $access.token $access.existingSecret) (ne $access.mode "http") }}
{{- fail "chatAccess.token and chatAccess.existingSecret are for chatAccess.mode http: leave them empty." }}
{{- end }}
{{- if and $access.token $access.existingSecret }}
{{- fail "chatAccess.existingSecret contains the token, so chatAccess.token must be empty." }}
{{- end }}
{{- if hasKey .Values.secretConfig "CONSTELLATION_CHAT_ACCESS_TOKEN" }}
{{- fail "secretConfig.CONSTELLATION_CHAT_ACCESS_TOKEN has its own values: use chatAccess.token or chatAccess.existingSecret." }}
{{- end }}
{{- end }}

{{- define "constellation-ws.chatAccessEnv" -}}
{{- $access := .Values.chatAccess }}
- name: CONSTELLATION_CHAT_ACCESS
  value: {{ $access.mode }}
{{- if has $access.mode (list "http" "nest") }}
- name: CONSTELLATION_CHAT_ACCESS_URL
  value: {{ $access.url | quote }}
- name: CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS
  value: {{ include "constellation-ws.text" $access.timeoutSeconds | quote }}
{{- end }}
{{- if eq $access.mode "nest" }}
- name: CONSTELLATION_CHAT_ACCESS_PATTERN
  value: {{ $access.pattern | quote }}
{{- end }}
{{- if $access.existingSecret }}
- name: CONSTELLATION_CHAT_ACCESS_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $access.existingSecret }}
      key: {{ $access.tokenKey }}
{{- end }}
{{- end }}
