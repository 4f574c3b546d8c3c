{{/* Where Redis is and how the gateway authenticates to it: refusals that the schema cannot express, the URL, the environment. */}}

{{- define "constellation-ws.checkRedis" -}}
{{- $redis := .Values.redis }}
{{- if and .Values.valkey.enabled (or $redis.url $redis.existingSecret $redis.sentinel.nodes) }}
{{- fail "valkey.enabled installs the chart's Valkey, so redis.url, redis.existingSecret and redis.sentinel.nodes must be empty: choose one." }}
{{- end }}
{{- if and $redis.urlKey (or $redis.usernameKey $redis.sentinel.passwordKey) }}
{{- fail "redis.urlKey names the full URL with its passwords, so redis.usernameKey and redis.sentinel.passwordKey must be empty." }}
{{- end }}
{{- if and (or $redis.usernameKey $redis.sentinel.passwordKey) (not $redis.existingSecret) }}
{{- fail "redis.usernameKey and redis.sentinel.passwordKey are keys of redis.existingSecret: set it." }}
{{- end }}
{{- if and $redis.username $redis.usernameKey }}
{{- fail "redis.usernameKey names the user, so redis.username must be empty." }}
{{- end }}
{{- if and $redis.sentinel.password $redis.existingSecret (not $redis.urlKey) }}
{{- fail "redis.existingSecret contains the passwords, so redis.sentinel.password must be empty: use redis.sentinel.passwordKey." }}
{{- end }}
{{- if and $redis.sentinel.nodes $redis.url }}
{{- fail "redis.url is set, so redis.sentinel.nodes must be empty: a URL can name Sentinels itself, as redis+sentinel://host:26379,host:26379/0/mymaster." }}
{{- end }}
{{- if and (or $redis.sentinel.password $redis.sentinel.passwordKey) (not $redis.sentinel.nodes) }}
{{- fail "redis.sentinel.password and redis.sentinel.passwordKey need redis.sentinel.nodes." }}
{{- end }}
{{- if and $redis.urlKey (not $redis.existingSecret) }}
{{- fail "redis.urlKey needs redis.existingSecret." }}
{{- end }}
{{- if and $redis.existingSecret (or $redis.url $redis.password) }}
{{- fail "redis.existingSecret contains the password or the URL, so redis.url and redis.password must be empty." }}
{{- end }}
{{- if and $redis.username (not $redis.password) (not $redis.url) (not $redis.existingSecret) }}
{{- fail "redis.username needs redis.password, or a URL in redis.url or redis.existingSecret." }}
{{- end }}
{{- end }}

{{/* The URL, where host and password alone cannot say it, without what is in a Secret of the user's. Nothing when they can. */}}
{{- define "constellation-ws.redisUrl" -}}
{{- $redis := .Values.redis }}
{{- if $redis.url }}
{{- $redis.url }}
{{- else if and (not .Values.valkey.enabled) (not $redis.urlKey) (or $redis.tls.enabled $redis.sentinel.nodes (and $redis.username (not $redis.existingSecret))) }}
{{- $scheme := ternary "rediss" "redis" $redis.tls.enabled }}
{{- $user := include "constellation-ws.urlPart" $redis.username }}
{{- $credentials := ternary (printf "%s:%s@" $user (include "constellation-ws.urlPart" $redis.password)) "" (ne $redis.password "") }}
{{- $host := ternary (printf "[%s]" $redis.host) $redis.host (contains ":" $redis.host) }}
{{- $options := list }}
{{- if and $redis.sentinel.nodes $redis.sentinel.password }}
{{- $options = append $options (printf "sentinel_password=%s" (include "constellation-ws.urlPart" $redis.sentinel.password)) }}
{{- end }}
{{- if and $redis.tls.enabled $redis.tls.caSecret }}
{{- $options = append $options (printf "ssl_ca_certs=/etc/redis-ca/%s" $redis.tls.caKey) }}
{{- end }}
{{- $query := ternary (printf "?%s" (join "&" $options)) "" (gt (len $options) 0) }}
{{- if $redis.sentinel.nodes }}
{{- printf "%s+sentinel://%s%s/%d/%s%s" $scheme $credentials (join "," $redis.sentinel.nodes) (int $redis.db) $redis.sentinel.primary $query }}
{{- else }}
{{- printf "%s://%s%s:%d/%d%s" $scheme $credentials $host (int $redis.port) (int $redis.db) $query }}
{{- end }}
{{- end }}
{{- end }}

{{/* A user or password as it stands in a URL. */}}
{{- define "constellation-ws.urlPart" -}}
{{- . | urlquery | replace "+" "%20" }}
{{- end }}

{{/* Ports that the pods reach Redis on, as a NetworkPolicy lists them: the Sentinels' too. */}}
{{- define "constellation-ws.redisPorts" -}}
{{- $redis := .Values.redis }}
{{- $ports := list (ternary 6379 (default $redis.port .Values.networkPolicy.egress.redisPort | int) .Values.valkey.enabled) }}
{{- range $redis.sentinel.nodes }}
{{- $ports = append $ports (default "26379" (regexFind ":[0-9]+$" . | trimPrefix ":") | int) }}
{{- end }}
{{- range uniq $ports }}
- port: {{ . }}
{{- end }}
{{- end }}

{{/* Where Redis is, as environment variables that are not secret or come from a Secret of the user. */}}
{{- define "constellation-ws.redisEnv" -}}
{{- $redis := .Values.redis }}
{{- if .Values.valkey.enabled }}
- name: REDIS_HOST
  value: {{ include "constellation-ws.fullname" . }}-valkey
- name: REDIS_PORT
  value: "6379"
{{- else if $redis.urlKey }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $redis.existingSecret }}
      key: {{ $redis.urlKey }}
{{- else }}
{{- $url := include "constellation-ws.redisUrl" . }}
{{- if not $url }}
- name: REDIS_HOST
  value: {{ $redis.host | quote }}
- name: REDIS_PORT
  value: {{ $redis.port | quote }}
- name: REDIS_DB
  value: {{ $redis.db | quote }}
{{- else if $redis.existingSecret }}
- name: REDIS_URL
  value: {{ $url | quote }}
{{- end }}
{{- if $redis.existingSecret }}
{{- with $redis.username }}
- name: CONSTELLATION_REDIS_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- $keys := dict "CONSTELLATION_REDIS_USERNAME" $redis.usernameKey "CONSTELLATION_REDIS_SENTINEL_PASSWORD" $redis.sentinel.passwordKey }}
{{- $_ := set $keys (ternary "CONSTELLATION_REDIS_URL_PASSWORD" "REDIS_PASSWORD" (ne $url "")) $redis.passwordKey }}
{{- range $name, $key := $keys }}
{{- if $key }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $redis.existingSecret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
