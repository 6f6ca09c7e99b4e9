{{/* What the controller may do in each namespace that it works in. */}}
{{- define "exportjob.rules" -}}
# The jobs themselves: watched; the finalizer is put on and taken off by a patch; deleted only when the job's
# ttlSecondsAfterFinished has run out.
- apiGroups: [exportjob.dev]
  resources: [exportjobs]
  verbs: [list, watch, patch, delete]
# What has become of them.
- apiGroups: [exportjob.dev]
  resources: [exportjobs/status]
  verbs: [patch]
# What jobs refer to.
- apiGroups: [exportjob.dev]
  resources: [profilestores, datasets, segmentdefinitions]
  verbs: [list, watch]
# Whether the expressions of segments are right.
- apiGroups: [exportjob.dev]
  resources: [segmentdefinitions/status]
  verbs: [patch]
# The export's Job and the one that aborts it: get after "already exists", patch for suspending and resuming.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, get, create, patch, delete]
# Why a pod does not start, what it reports at its end, where its progress is served. The Job makes and removes pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The plan of a job, which never changes: get after "already exists". Owner references remove it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, get]
# Pods that quota or admission refuses and volumes that cannot be mounted are told of in Events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
# Events of the jobs.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Whether an account that a job names for its pods carries the annotation that allows this.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
# Whether the namespace of a job that is being deleted goes away itself: no clean-up can run in it then.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}
