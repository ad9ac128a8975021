{{- /* The settings file: `config`, and what the chart knows itself. What is written by hand wins; _checks.tpl refuses both. */ -}}
{{- define "sluice.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "sluice.tlsSecret" . -}}
{{- $paths := dict "cert" "/etc/sluice/tls/tls.crt" "key" "/etc/sluice/tls/tls.key" -}}
{{- if has ($config.tls).client_auth (list "optional" "require") -}}
{{- $_ := set $paths "client_ca" "/etc/sluice/tls/ca.crt" -}}
{{- end -}}
{{- $_ := set $config "tls" (merge (dict) ($config.tls | default dict) $paths) -}}
{{- end -}}
{{- range $name, $setting := include "sluice.fileSettings" . | fromYaml -}}
{{- with get $.Values.files $name -}}
{{- $section := get $config (first $setting) | default dict -}}
{{- $_ := set $section (last $setting) (printf "/etc/sluice/files/%s/%s" (kebabcase $name) .key) -}}
{{- $_ := set $config (first $setting) $section -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $config "memory_budget") -}}
{{- with include "sluice.memoryLimit" . -}}
{{- $_ := set $config "memory_budget" (printf "%dMiB" (div (mul (int64 .) $.Values.memoryBudgetPercent) 104857600)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
