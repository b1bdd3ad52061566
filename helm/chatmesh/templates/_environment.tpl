{{- /* What of a process's settings is no secret, for its ConfigMap. Takes root, name and service. */ -}}
{{- define "chatmesh.settings" -}}
CHATMESH_ENV: {{ .root.Values.environment }}
LOG_LEVEL: {{ .root.Values.logLevel }}
STOP_GRACE: {{ .service.stopGrace | quote }}
{{- with .root.Values.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- if eq .service.protocol "http" }}
EDGE_HOST: 0.0.0.0
EDGE_PORT: {{ .service.port | quote }}
{{- else }}
LISTEN: 0.0.0.0:{{ .service.port }}
ADMIN_LISTEN: 0.0.0.0:{{ .service.adminPort }}
MIGRATE_AT_START: {{ eq .root.Values.migrations.mode "start" | quote }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
GRPC_TLS_CERT: /etc/chatmesh/tls/tls.crt
GRPC_TLS_KEY: /etc/chatmesh/tls/tls.key
GRPC_TLS_CA: /etc/chatmesh/tls/ca.crt
{{- if eq .service.protocol "grpc" }}
HEALTH_LISTEN: 0.0.0.0:{{ .service.healthPort }}
{{- end }}
{{- end }}
{{- range .service.calls }}
{{ upper . }}_SERVICE_URL: dns:///{{ include "chatmesh.host" (dict "root" $.root "component" .) }}:{{ (index $.root.Values.services .).port }}
{{- end }}
{{- if and .root.Values.altinity.enabled (has "clickhouse" .service.engines) }}
CLICKHOUSE_CLUSTER: chatmesh
{{- end }}
{{- if has "nats" .service.engines }}
NATS_REPLICAS: {{ .root.Values.engines.nats.replicas | quote }}
{{- end }}
{{- range $name, $value := .service.env }}
{{ $name }}: {{ tpl (toString $value) $.root | quote }}
{{- end }}
{{- end }}

{{- /* What is secret, or may be, as a container's env. Takes root and service. */ -}}
{{- define "chatmesh.secretEnv" -}}
{{- with .service.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- range .service.engines }}
{{ include "chatmesh.engineEnv" (dict "root" $.root "engine" .) }}
{{- end }}
{{- if .root.Values.secrets.existingSecret }}
{{- range .service.secrets }}
{{ include "chatmesh.secretKey" (dict "variable" . "name" $.root.Values.secrets.existingSecret "key" .) }}
{{- end }}
{{- range .service.optionalSecrets }}
{{ include "chatmesh.secretKey" (dict "variable" . "name" $.root.Values.secrets.existingSecret "key" . "optional" true) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chatmesh.engineEnv" -}}
{{- $variable := include "chatmesh.variable" .engine -}}
{{- $place := index .root.Values.engines .engine -}}
{{- $full := include "chatmesh.fullname" .root -}}
{{- if and (eq .engine "postgres") .root.Values.cloudnativePg.enabled -}}
{{ include "chatmesh.secretKey" (dict "variable" $variable "name" (printf "%s-postgres-app" $full) "key" "uri") }}
{{- else if and (eq .engine "clickhouse") .root.Values.altinity.enabled -}}
{{ include "chatmesh.secretKey" (dict "variable" "CLICKHOUSE_PASSWORD" "name" .root.Values.secrets.existingSecret "key" .root.Values.altinity.passwordKey) }}
- name: {{ $variable }}
  value: http://chatmesh:$(CLICKHOUSE_PASSWORD)@clickhouse-{{ include "chatmesh.clickhouse" .root }}:8123/default
{{- else if $place.existingSecret.name -}}
{{ include "chatmesh.secretKey" (dict "variable" $variable "name" $place.existingSecret.name "key" (default $variable $place.existingSecret.key)) }}
{{- else if $place.url -}}
- name: {{ $variable }}
  value: {{ tpl $place.url .root | quote }}
{{- else -}}
{{ include "chatmesh.secretKey" (dict "variable" $variable "name" .root.Values.secrets.existingSecret "key" $variable) }}
{{- end -}}
{{- end }}

{{- define "chatmesh.secretKey" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}{{ if .optional }}, optional: true{{ end }}}}
{{- end }}

{{- /* What migrating the tables of all services, or of one (`only`), needs; whole, because a hook has nothing of the release. */ -}}
{{- define "chatmesh.migrationContainer" -}}
name: migrate
image: {{ include "chatmesh.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ concat (list "-m" "mesh" "migrate") .only | toJson }}
env:
  - {name: CHATMESH_ENV, value: {{ .root.Values.environment }}}
  - {name: LOG_LEVEL, value: {{ .root.Values.logLevel }}}
  {{- $service := dict "engines" .engines "secrets" (list "SERVICE_SECRET") "optionalSecrets" (list "SENTRY_DSN") "extraEnv" .root.Values.defaults.extraEnv }}
  {{- include "chatmesh.secretEnv" (dict "root" .root "service" $service) | nindent 2 }}
  {{- if .root.Values.altinity.enabled }}
  - {name: CLICKHOUSE_CLUSTER, value: chatmesh}
  {{- end }}
  {{- /* How long tables keep rows is part of what they are. */ -}}
  {{- range $name, $value := merge (dict) (.root.Values.services.analytics.env | default dict) .root.Values.defaults.env }}
  {{- if hasSuffix "_RETENTION_DAYS" $name }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  {{- end }}
securityContext: {{- include "chatmesh.containerSecurity" . | nindent 2 }}
resources: {{- toYaml .root.Values.migrations.resources | nindent 2 }}
volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end }}
