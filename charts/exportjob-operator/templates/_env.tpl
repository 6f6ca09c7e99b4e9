{{/* The controller's settings: each has a command line argument of the same name. */}}
{{- define "exportjob.env" -}}
- name: EXPORTJOB_POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: EXPORTJOB_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: EXPORTJOB_LEASE_NAME
  value: {{ include "exportjob.leaseName" . }}
- name: EXPORTJOB_IDS_CONFIG_MAP
  value: {{ include "exportjob.idsConfigMap" . }}
- name: EXPORTJOB_METRICS_ADDR
  value: 0.0.0.0:8080
- name: EXPORTJOB_LOG_FORMAT
  value: {{ .Values.controller.logFormat }}
- name: EXPORTJOB_CONCURRENCY
  value: {{ .Values.controller.concurrency | toString | quote }}
{{- with .Values.controller.logLevel }}
- name: RUST_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .Values.watchNamespaces }}
- name: EXPORTJOB_WATCH_NAMESPACES
  value: {{ uniq . | join "," | quote }}
{{- end }}
{{- with .Values.imsOrgId }}
- name: EXPORTJOB_IMS_ORG_ID
  value: {{ . | quote }}
{{- end }}
- name: EXPORTJOB_EXPORTER_IMAGE
  value: {{ include "exportjob.exporterImage" . | quote }}
- name: EXPORTJOB_EXPORTER_IMAGE_PULL_POLICY
  value: {{ .Values.exporter.image.pullPolicy }}
- name: EXPORTJOB_EXPORTER_RESOURCES
  value: {{ toJson .Values.exporter.resources | quote }}
{{- with .Values.exporter.allowedImages }}
- name: EXPORTJOB_ALLOWED_IMAGES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.exporter.allowedHostPaths }}
- name: EXPORTJOB_ALLOWED_HOST_PATHS
  value: {{ join "," . | quote }}
{{- end }}
- name: EXPORTJOB_BACKOFF_LIMIT
  value: {{ .Values.exporter.backoffLimit | toString | quote }}
- name: EXPORTJOB_REFERENCE_TIMEOUT_SECONDS
  value: {{ .Values.timeouts.referenceSeconds | toString | quote }}
- name: EXPORTJOB_START_GRACE_SECONDS
  value: {{ .Values.timeouts.startGraceSeconds | toString | quote }}
- name: EXPORTJOB_CANCELLATION_TIMEOUT_SECONDS
  value: {{ .Values.timeouts.cancellationSeconds | toString | quote }}
- name: EXPORTJOB_PROGRESS_INTERVAL_SECONDS
  value: {{ .Values.timeouts.progressIntervalSeconds | toString | quote }}
{{- end -}}
