{{/* What follows from the values: sums, refusals, the environment. Names live in _names.tpl. */}}

{{/* Seconds that the process takes for itself beyond its plan (10), and some for the container runtime (5). */}}
{{- define "constellation-ws.drainMargin" -}}15{{- end }}

{{- define "constellation-ws.gracePeriod" -}}
{{- $drain := .Values.drain }}
{{- $least := add (ceil $drain.preStopSeconds) (ceil $drain.delaySeconds) (ceil $drain.windowSeconds) (include "constellation-ws.drainMargin" . | int) }}
{{- $wanted := .Values.terminationGracePeriodSeconds }}
{{- if kindIs "invalid" $wanted }}
{{- $least }}
{{- else if lt (int64 $wanted) (int64 $least) }}
{{- fail (printf "terminationGracePeriodSeconds is %d, but the drain needs %d: drain.preStopSeconds + drain.delaySeconds + drain.windowSeconds and a margin of %s. Raise it, leave it null, or shorten the drain." (int64 $wanted) $least (include "constellation-ws.drainMargin" .)) }}
{{- else }}
{{- int64 $wanted }}
{{- end }}
{{- end }}

{{/* A number as people write it: Helm reads 1000000 as the float 1e+06. */}}
{{- define "constellation-ws.text" -}}
{{- if kindIs "float64" . }}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else }}
{{- toString . }}
{{- end }}
{{- end }}

{{/* Refusals that the schema cannot express. */}}
{{- define "constellation-ws.check" -}}
{{- include "constellation-ws.checkNames" . }}
{{- include "constellation-ws.checkRedis" . }}
{{- if and .Values.tcp.tls.verifyClients (not .Values.tcp.tls.secret) }}
{{- fail "tcp.tls.verifyClients needs tcp.tls.secret: without TLS there are no client certificates." }}
{{- end }}
{{- include "constellation-ws.checkAuth" . }}
{{- include "constellation-ws.checkChatAccess" . }}
{{- include "constellation-ws.checkApi" . }}
{{- include "constellation-ws.checkConsole" . }}
{{- include "constellation-ws.checkInterface" . }}
{{- $names := list }}
{{- range include "constellation-ws.env" . | fromYamlArray }}
{{- if has .name $names }}
{{- fail (printf "extraEnv sets %s, which the chart sets from its own values: change it there. Helm 4 rejects duplicate names." .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled needs at least one name in ingress.hosts." }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs at least one Gateway in httpRoute.parentRefs." }}
{{- end }}
{{- if and (eq .Values.stickiness "envoy-gateway") (not .Values.httpRoute.enabled) }}
{{- fail "stickiness envoy-gateway needs httpRoute.enabled." }}
{{- end }}
{{- $pdb := .Values.podDisruptionBudget }}
{{- if and $pdb.enabled (eq (kindIs "invalid" $pdb.maxUnavailable) (kindIs "invalid" $pdb.minAvailable)) }}
{{- fail "podDisruptionBudget needs exactly one of maxUnavailable and minAvailable: set the other one to null." }}
{{- end }}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") }}
{{- fail "service.nodePort needs service.type NodePort or LoadBalancer." }}
{{- end }}
{{- $scaling := .Values.autoscaling }}
{{- if ne $scaling.type "none" }}
{{- if and (kindIs "invalid" $scaling.targetCpuPercent) (kindIs "invalid" $scaling.targetConnections) }}
{{- fail "autoscaling needs targetCpuPercent, targetConnections or both." }}
{{- end }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)." (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- end }}
{{- if and (eq $scaling.type "keda") $scaling.targetConnections (not $scaling.prometheusAddress) }}
{{- fail "autoscaling.targetConnections with type keda needs autoscaling.prometheusAddress." }}
{{- end }}
{{- end }}
{{- if has (int .Values.metrics.port) (list 7000 7756 7757) }}
{{- fail (printf "metrics.port %d is in use: in each pod Socket.IO uses 7000, NestJS 7756, and other pods use 7757." (int .Values.metrics.port)) }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would scrape every pod twice: enable one." }}
{{- end }}
{{- end }}

{{- define "constellation-ws.checkAuth" -}}
{{- $auth := .Values.auth }}
{{- $sources := list }}
{{- if $auth.existingSecret }}{{ $sources = append $sources "auth.existingSecret" }}{{ end }}
{{- if $auth.jwt.secret }}{{ $sources = append $sources "auth.jwt.secret" }}{{ end }}
{{- if $auth.jwt.publicKey }}{{ $sources = append $sources "auth.jwt.publicKey" }}{{ end }}
{{- if $auth.jwt.jwksUrl }}{{ $sources = append $sources "auth.jwt.jwksUrl" }}{{ end }}
{{- if and (eq $auth.mode "trusted") (or $sources $auth.jwt.issuer $auth.jwt.audience $auth.jwt.algorithms $auth.jwt.cookie) }}
{{- fail (printf "auth.mode is trusted, so %s has no effect: set auth.mode to jwt, or leave it empty." (first (append $sources "auth.jwt"))) }}
{{- end }}
{{- range $name, $_ := .Values.secretConfig }}
{{- if hasPrefix "CONSTELLATION_JWT_" $name }}
{{- fail (printf "secretConfig.%s has its own values: use auth.jwt or auth.existingSecret." $name) }}
{{- end }}
{{- end }}
{{- if gt (len $sources) 1 }}
{{- fail (printf "%s are set: set only the one that signs your tokens." (join " and " $sources)) }}
{{- end }}
{{- if and (eq $auth.mode "jwt") (not $sources) (not .Values.existingSecret) (not .Values.extraEnvFrom) }}
{{- fail "auth.mode jwt needs a key: one of auth.existingSecret, auth.jwt.secret, auth.jwt.publicKey and auth.jwt.jwksUrl." }}
{{- end }}
{{- $origins := regexSplit "[ ,]+" (toString (default "*" .Values.config.CONSTELLATION_CORS_ORIGINS)) -1 }}
{{- if and $auth.jwt.cookie (or (has "*" $origins) (has "null" $origins)) }}
{{- fail "auth.jwt.cookie requires that config.CONSTELLATION_CORS_ORIGINS lists the origins of your pages, without * and null: browsers send cookies with requests from any page." }}
{{- end }}
{{- end }}

{{/* How clients prove who they are, as environment variables; nothing of tokens where none are asked for. */}}
{{- define "constellation-ws.authEnv" -}}
{{- $auth := .Values.auth }}
- name: CONSTELLATION_AUTH_MODE
  value: {{ $auth.mode }}
{{- if eq $auth.mode "jwt" }}
{{- if $auth.existingSecret }}
- name: {{ ternary "CONSTELLATION_JWT_PUBLIC_KEY" "CONSTELLATION_JWT_SECRET" (ne $auth.publicKeyKey "") }}
  valueFrom:
    secretKeyRef:
      name: {{ $auth.existingSecret }}
      key: {{ default $auth.secretKey $auth.publicKeyKey }}
{{- end }}
{{- $texts := dict "PUBLIC_KEY" $auth.jwt.publicKey "JWKS_URL" $auth.jwt.jwksUrl "ISSUER" $auth.jwt.issuer "AUDIENCE" $auth.jwt.audience "USER_CLAIM" $auth.jwt.userClaim "CHATS_CLAIM" $auth.jwt.chatsClaim "COOKIE" $auth.jwt.cookie "ALGORITHMS" (join "," $auth.jwt.algorithms) "LEEWAY_SECONDS" (include "constellation-ws.text" $auth.jwt.leewaySeconds) }}
{{- range $name, $value := $texts }}
{{- if $value }}
- name: CONSTELLATION_JWT_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the chart's Secret holds, as YAML of plain text; empty when there is nothing secret. */}}
{{- define "constellation-ws.secrets" -}}
{{- $secrets := dict }}
{{- $url := include "constellation-ws.redisUrl" . }}
{{- if and $url (not .Values.redis.existingSecret) }}
{{- $_ := set $secrets "REDIS_URL" $url }}
{{- end }}
{{- if and .Values.redis.password (not (hasKey $secrets "REDIS_URL")) (not .Values.valkey.enabled) }}
{{- $_ := set $secrets "REDIS_PASSWORD" .Values.redis.password }}
{{- end }}
{{- with .Values.auth.jwt.secret }}
{{- $_ := set $secrets "CONSTELLATION_JWT_SECRET" . }}
{{- end }}
{{- with .Values.chatAccess.token }}
{{- $_ := set $secrets "CONSTELLATION_CHAT_ACCESS_TOKEN" . }}
{{- end }}
{{- with .Values.api.keys }}
{{- $_ := set $secrets "CONSTELLATION_API_KEYS" . }}
{{- end }}
{{- with .Values.console.key }}
{{- $_ := set $secrets "CONSTELLATION_CONSOLE_KEY" . }}
{{- end }}
{{- range $name, $value := .Values.secretConfig }}
{{- $_ := set $secrets $name (include "constellation-ws.text" $value) }}
{{- end }}
{{- if $secrets }}{{ toYaml $secrets }}{{ end }}
{{- end }}

{{/* Where other pods reach this one: never through a Service, which would choose another pod. */}}
{{- define "constellation-ws.peerEnv" -}}
{{- if .Values.peers.enabled }}
- name: CONSTELLATION_PEER_PORT
  value: "7757"
- name: CONSTELLATION_PEER_ADDRESS
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- else }}
- name: CONSTELLATION_PEER_PORT
  value: "off"
{{- end }}
{{- end }}

{{/* The gateway's environment. extraEnv stands last. */}}
{{- define "constellation-ws.env" -}}
- name: WS_PORT
  value: "7000"
- name: TCP_PORT
  value: "7756"
- name: TCP_HOST
  value: {{ ternary "::" "127.0.0.1" .Values.tcp.enabled | quote }}
{{- if .Values.tcp.tls.secret }}
- name: CONSTELLATION_TCP_TLS_CERT_FILE
  value: /etc/tcp-tls/tls.crt
- name: CONSTELLATION_TCP_TLS_KEY_FILE
  value: /etc/tcp-tls/tls.key
{{- if .Values.tcp.tls.verifyClients }}
- name: CONSTELLATION_TCP_TLS_CLIENT_CA_FILE
  value: /etc/tcp-tls/ca.crt
{{- end }}
{{- end }}
{{- include "constellation-ws.apiEnv" . }}
{{- include "constellation-ws.consoleEnv" . }}
{{- include "constellation-ws.peerEnv" . }}
{{- include "constellation-ws.redisEnv" . }}
{{- include "constellation-ws.authEnv" . }}
{{- include "constellation-ws.chatAccessEnv" . }}
- name: CONSTELLATION_LOG_FORMAT
  value: {{ default "json" .Values.config.CONSTELLATION_LOG_FORMAT }}
- name: CONSTELLATION_DRAIN_DELAY_SECONDS
  value: {{ include "constellation-ws.text" .Values.drain.delaySeconds | quote }}
- name: CONSTELLATION_DRAIN_WINDOW_SECONDS
  value: {{ include "constellation-ws.text" .Values.drain.windowSeconds | quote }}
{{- if not (kindIs "invalid" .Values.maxConnectionAgeSeconds) }}
- name: CONSTELLATION_MAX_CONNECTION_AGE_SECONDS
  value: {{ include "constellation-ws.text" .Values.maxConnectionAgeSeconds | quote }}
{{- end }}
{{- with .Values.metrics.port }}
- name: CONSTELLATION_METRICS_PORT
  value: {{ . | quote }}
{{- end }}
{{- if include "constellation-ws.interfaceConfigMap" . }}
- name: CONSTELLATION_INTERFACE_FILE
  value: /etc/constellation-ws-interface/{{ include "constellation-ws.interfaceKey" . }}
{{- end }}
{{- if .Values.routes }}
- name: CONSTELLATION_ROUTES_FILE
  value: /etc/constellation-ws/routes.toml
{{- end }}
{{- range $name, $value := omit .Values.config "CONSTELLATION_LOG_FORMAT" }}
- name: {{ $name }}
  value: {{ include "constellation-ws.text" $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The name of the port that has /metrics. */}}
{{- define "constellation-ws.metricsPort" -}}
{{- ternary "metrics" "http" (not (kindIs "invalid" .Values.metrics.port)) }}
{{- end }}

{{- define "constellation-ws.envFrom" -}}
{{- if include "constellation-ws.secrets" . }}
- secretRef:
    name: {{ include "constellation-ws.fullname" . }}
{{- end }}
{{- with .Values.existingSecret }}
- secretRef:
    name: {{ . }}
{{- end }}
{{- with .Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations for sticky sessions, where the ingress named by `stickiness` looks for them on an Ingress. */}}
{{- define "constellation-ws.ingressAnnotations" -}}
{{- $own := dict }}
{{- if eq .Values.stickiness "nginx" }}
{{- $name := include "constellation-ws.fullname" . }}
{{- $cookie := printf "serviceName=%s constellation-pod path=%s httponly" $name .Values.ingress.path }}
{{- $own = dict "nginx.org/sticky-cookie-services" $cookie "nginx.org/websocket-services" $name "nginx.org/proxy-read-timeout" "1h" "nginx.org/proxy-send-timeout" "1h" }}
{{- end }}
{{- $all := merge (deepCopy .Values.ingress.annotations) $own }}
{{- if $all }}{{ toYaml $all }}{{ end }}
{{- end }}

{{/* The same where it looks for them on a Service. */}}
{{- define "constellation-ws.serviceAnnotations" -}}
{{- $own := dict }}
{{- if eq .Values.stickiness "haproxy" }}
{{- $own = dict "haproxy.org/cookie-persistence" "constellation-pod" }}
{{- end }}
{{- if eq .Values.stickiness "traefik" }}
{{- $own = dict "traefik.ingress.kubernetes.io/service.sticky.cookie" "true" "traefik.ingress.kubernetes.io/service.sticky.cookie.name" "constellation-pod" "traefik.ingress.kubernetes.io/service.sticky.cookie.httponly" "true" }}
{{- end }}
{{- $all := merge (deepCopy .Values.service.annotations) $own }}
{{- if $all }}{{ toYaml $all }}{{ end }}
{{- end }}
