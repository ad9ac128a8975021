{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- /* A StatefulSet's name goes into a label together with a hash of 11. */ -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.headless" -}}{{ include "sluice.fullname" . }}-headless{{- end -}}

{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sluice.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- with .Values.image.digest }}{{ printf "%s@%s" $.Values.image.repository . }}{{ else }}{{ printf "%s:%s" .Values.image.repository $tag }}{{ end -}}
{{- end -}}

{{- define "sluice.tlsSecret" -}}
{{- if .Values.tls.secretName -}}
{{ .Values.tls.secretName }}
{{- else if .Values.tls.certificate.create -}}
{{ include "sluice.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{- /* The name under which clients in the cluster reach the server. */ -}}
{{- define "sluice.host" -}}{{ include "sluice.fullname" . }}.{{ .Release.Namespace }}.svc{{- end -}}

{{- /* The port of HOST:PORT. */ -}}
{{- define "sluice.port" -}}{{ regexFind "[0-9]+$" . }}{{- end -}}

{{- /* Seconds of a duration such as 1m30s, rounded up. The templates have no function for it; dates can be moved by one. */ -}}
{{- define "sluice.seconds" -}}
{{- $zero := mustToDate "2006-01-02T15:04:05Z07:00" "2000-01-01T00:00:00Z" -}}
{{- $whole := sub (mustDateModify . $zero | unixEpoch | int64) (unixEpoch $zero | int64) -}}
{{- regexMatch "\\.|[mun]s" . | ternary (add1 $whole) $whole -}}
{{- end -}}

{{- /* Bytes of {text, units}; nothing when the unit is not known. */ -}}
{{- define "sluice.bytes" -}}
{{- /* A number in a file of values comes as 1.073741824e+09. */ -}}
{{- $text := ternary (printf "%.0f" (float64 .text)) (toString .text) (kindIs "float64" .text) -}}
{{- $unit := regexReplaceAll "^[0-9.]+ *" $text "" -}}
{{- if hasKey .units $unit -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get .units $unit | float64) | printf "%.0f" -}}
{{- end -}}
{{- end -}}

{{- /* 2Gi, 500M: as Kubernetes writes memory. */ -}}
{{- define "sluice.quantity" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000
                   "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- include "sluice.bytes" (dict "text" . "units" $units) -}}
{{- end -}}

{{- /* 2GiB, 512mb: as sluiced reads sizes, where a kB is 1,024 bytes too. */ -}}
{{- define "sluice.size" -}}
{{- $units := dict "" 1 "b" 1 "k" 1024 "kb" 1024 "kib" 1024 "m" 1048576 "mb" 1048576 "mib" 1048576
                   "g" 1073741824 "gb" 1073741824 "gib" 1073741824 "t" 1099511627776 "tb" 1099511627776 "tib" 1099511627776 -}}
{{- include "sluice.bytes" (dict "text" (kindIs "string" . | ternary (toString . | lower) .) "units" $units) -}}
{{- end -}}

{{- define "sluice.memoryLimit" -}}
{{- with (.Values.resources.limits).memory -}}
{{- include "sluice.quantity" . | required (printf "resources.limits.memory is %v: write it with Ki, Mi, Gi, k, M or G, or give config.memory_budget" .) -}}
{{- end -}}
{{- end -}}

{{- /* Settings that name a file, by the name the file has in the values. */ -}}
{{- define "sluice.fileSettings" -}}
policy: [auth, policy]
tokens: [auth, tokens]
jwtKeys: [auth, jwt_keys]
clientCa: [tls, client_ca]
pushCa: [push, ca]
traceCa: [trace, ca]
traceHeaders: [trace, headers]
{{- end -}}

{{- define "sluice.grace" -}}
{{- add (include "sluice.seconds" .Values.config.shutdown_timeout | int64) .Values.preStopSleepSeconds 5 -}}
{{- end -}}

{{- /* What a pod of ours needs to be let onto a node; for sluiced and for `helm test`. */ -}}
{{- define "sluice.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* The pod of `helm test`, as a peer of a NetworkPolicy. */ -}}
{{- define "sluice.testPeer" -}}
- podSelector:
    matchLabels: {{- include "sluice.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: test
{{- end -}}
