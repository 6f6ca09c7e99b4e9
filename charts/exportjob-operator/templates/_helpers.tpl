{{/* Name of the chart, as a label value. */}}
{{- define "exportjob.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the objects. 45 characters leave room for the longest suffix within the 63 of a label value. */}}
{{- define "exportjob.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: what selectors select. */}}
{{- define "exportjob.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exportjob.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "exportjob.labels" -}}
{{ include "exportjob.commonLabels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels of objects that are no part of the controller. */}}
{{- define "exportjob.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "exportjob.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "exportjob.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "exportjob.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the account to use, or set serviceAccount.create to true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Reference of an image: by digest where one is given. Takes {image, tag}: the image's values and its default tag. */}}
{{- define "exportjob.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "exportjob.controllerImage" -}}
{{- include "exportjob.image" (dict "image" .Values.controller.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "exportjob.exporterImage" -}}
{{- include "exportjob.image" (dict "image" .Values.exporter.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{/* What every container of the chart runs under. */}}
{{- define "exportjob.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "exportjob.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "exportjob.leaseName" -}}exportjob-controller{{- end -}}
{{- define "exportjob.idsConfigMap" -}}exportjob-ids{{- end -}}

{{/* Label that the controller puts on every pod of an export. */}}
{{- define "exportjob.exportPodLabel" -}}exportjob.dev/uid{{- end -}}
