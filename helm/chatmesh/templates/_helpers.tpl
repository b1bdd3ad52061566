{{- define "chatmesh.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- /* What never changes of a component, for selectors: they are immutable. Takes root and component. */ -}}
{{- define "chatmesh.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* The same as a label selector. */ -}}
{{- define "chatmesh.selected" -}}
{matchLabels: {app.kubernetes.io/instance: {{ .root.Release.Name }}, app.kubernetes.io/component: {{ .component }}}}
{{- end }}

{{- define "chatmesh.labels" -}}
{{ include "chatmesh.selector" . }}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: chatmesh
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "chatmesh.metadata" -}}
name: {{ include "chatmesh.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "chatmesh.labels" . | nindent 2 }}
{{- end }}

{{- define "chatmesh.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- with .Values.image.digest }}{{ $.Values.image.repository }}@{{ . }}{{ else }}{{ .Values.image.repository }}:{{ $tag }}{{ end -}}
{{- end }}

{{- /* A service with what it has by default, as JSON. Takes root and service. */ -}}
{{- define "chatmesh.complete" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy .service) | toJson -}}
{{- end }}

{{- define "chatmesh.host" -}}
{{ include "chatmesh.fullname" .root }}-{{ .component }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{- define "chatmesh.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "chatmesh.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "chatmesh.variable" -}}
{{- get (dict "postgres" "DATABASE_URL" "redis" "REDIS_URL" "nats" "NATS_URL" "clickhouse" "CLICKHOUSE_URL" "smtp" "SMTP_URL") . -}}
{{- end }}

{{- define "chatmesh.clickhouse" -}}
{{ include "chatmesh.fullname" . | trunc 15 | trimSuffix "-" }}
{{- end }}
