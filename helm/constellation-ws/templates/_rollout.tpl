{{/* What depends on the objects that a cluster has already, by `lookup`: without a cluster, as for `helm template`, it finds nothing. */}}

{{/* The number of pods. While an autoscaler decides it, the present one is repeated: a Deployment that no longer says its number gets the
     API server's default of one. A new one says nothing, as the number would then be Helm's and no longer the autoscaler's. */}}
{{- define "constellation-ws.replicas" -}}
{{- if eq .Values.autoscaling.type "none" }}
{{- .Values.replicas }}
{{- else }}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "constellation-ws.fullname" .) }}
{{- .spec.replicas }}
{{- end }}
{{- end }}
{{- end }}

{{/* A checksum of all Secrets and ConfigMaps of the user's that the pods read at their start; empty where none is found. */}}
{{- define "constellation-ws.existingChecksum" -}}
{{- if .Values.rollOnSecretChange }}
{{- $values := .Values }}
{{- $found := list }}
{{- range list $values.existingSecret $values.redis.existingSecret $values.auth.existingSecret $values.chatAccess.existingSecret $values.api.existingSecret | compact | uniq }}
{{- $found = append $found (lookup "v1" "Secret" $.Release.Namespace .).data }}
{{- end }}
{{- with $values.interface.configMap }}
{{- $found = append $found (lookup "v1" "ConfigMap" $.Release.Namespace .).data }}
{{- end }}
{{- with compact $found }}
{{- toJson . | sha256sum }}
{{- end }}
{{- end }}
{{- end }}

{{/* The target of an autoscaler in percent of the CPU request, at most 80 % of the one core that a process can use. */}}
{{- define "constellation-ws.cpuTarget" -}}
{{- $requests := default dict .Values.resources.requests }}
{{- $cpu := get $requests "cpu" | default "1" | toString }}
{{- $cores := ternary (divf (trimSuffix "m" $cpu | float64) 1000.0) (float64 $cpu) (hasSuffix "m" $cpu) }}
{{- min (int .Values.autoscaling.targetCpuPercent) (divf 80.0 $cores | floor | int) }}
{{- end }}
