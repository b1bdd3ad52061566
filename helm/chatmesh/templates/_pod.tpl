{{- /* The pod of a service. Takes root, name and service. */ -}}
{{- define "chatmesh.pod" -}}
{{- $graceful := add .service.preStopSeconds .service.stopGrace 15 -}}
serviceAccountName: {{ include "chatmesh.fullname" .root }}-{{ .name }}
automountServiceAccountToken: false
# A Service `chat` would set CHAT_PORT and the like, which could be taken for settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $graceful }}
securityContext: {{- include "chatmesh.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .service.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.service $field }}
{{ $field }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if ne .service.topologySpread "off" }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $.service.topologySpread }}
    labelSelector: {{ include "chatmesh.selected" (dict "root" $.root "component" $.name) }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- if and (eq .root.Values.migrations.mode "init") (or (has "postgres" .service.engines) (has "clickhouse" .service.engines)) }}
initContainers:
  - {{- include "chatmesh.migrationContainer" (dict "root" .root "only" (list .name) "engines" (without .service.engines "redis" "nats" "smtp")) | nindent 4 }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "chatmesh.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: ["-m", {{ .service.module | quote }}]
    envFrom: [{configMapRef: {name: {{ include "chatmesh.fullname" .root }}-{{ .name }}}}]
    env: {{- include "chatmesh.secretEnv" . | nindent 6 }}
    ports:
      - {name: {{ .service.protocol }}, containerPort: {{ .service.port }}}
      {{- if ne (int .service.adminPort) (int .service.port) }}
      - {name: admin, containerPort: {{ .service.adminPort }}}
      {{- end }}
      {{- if and .root.Values.mtls.enabled (eq .service.protocol "grpc") }}
      - {name: health, containerPort: {{ .service.healthPort }}}
      {{- end }}
    {{- range $probe := list "startup" "readiness" "liveness" }}
    {{ $probe }}Probe: {{- include "chatmesh.probe" (dict "root" $.root "service" $.service "probe" $probe) | nindent 6 }}
    {{- end }}
    lifecycle: {{- include "chatmesh.lifecycle" . | nindent 6 }}
    securityContext: {{- include "chatmesh.containerSecurity" . | nindent 6 }}
    resources: {{- toYaml .service.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if .root.Values.mtls.enabled }}
      - {name: tls, mountPath: /etc/chatmesh/tls, readOnly: true}
      {{- end }}
      {{- with .service.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
  {{- if .root.Values.mtls.enabled }}
  - {name: tls, secret: {secretName: {{ include "chatmesh.fullname" .root }}-{{ .name }}-tls}}
  {{- end }}
  {{- with .service.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* Whether a process lives does not hang on engines: starting it anew would not bring them back. */ -}}
{{- define "chatmesh.probe" -}}
{{- if eq .service.protocol "http" -}}
httpGet: {path: {{ eq .probe "readiness" | ternary "/readyz" "/livez" }}, port: http}
{{- else -}}
# Kubernetes' probes for gRPC speak no TLS.
grpc: {port: {{ .root.Values.mtls.enabled | ternary .service.healthPort .service.port }}}
{{- end }}
{{ toYaml (index .service.probes .probe) }}
{{- end }}

{{- /* The sleep of Kubernetes itself is on by default from 1.30 on. */ -}}
{{- define "chatmesh.lifecycle" -}}
preStop:
  {{- if semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version }}
  sleep: {seconds: {{ .service.preStopSeconds }}}
  {{- else }}
  exec: {command: ["python", "-c", "import time; time.sleep({{ .service.preStopSeconds }})"]}
  {{- end }}
{{- end }}
