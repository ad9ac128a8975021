{{- /* What cannot work, or would not be what is meant, and that values.schema.json cannot see. */ -}}
{{- define "sluice.checks" -}}
{{- $config := .Values.config -}}
{{- $tls := include "sluice.tlsSecret" . -}}

{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "replicaCount is %d: each sluiced has a store of its own, so that these would be servers that share no messages behind one name. Use 1 on a larger machine, or several releases" (int .Values.replicaCount)) -}}
{{- end -}}

{{- if not (or $tls ($config.tls).cert $config.insecure) -}}
{{- fail (printf "config.listen is %s and there is no TLS: give tls.secretName or tls.certificate.create, or set config.insecure=true when plain text is meant" $config.listen) -}}
{{- end -}}
{{- if and .Values.tls.certificate.create (not .Values.tls.certificate.issuerRef) -}}
{{- fail "tls.certificate.create needs tls.certificate.issuerRef: who signs it" -}}
{{- end -}}
{{- if and $tls (or ($config.tls).cert ($config.tls).key) -}}
{{- fail "config.tls.cert and config.tls.key are what the chart fills in from tls: give one of both" -}}
{{- end -}}
{{- $clientAuth := ($config.tls).client_auth | default "none" -}}
{{- if and (ne $clientAuth "none") (not (or $tls ($config.tls).cert)) -}}
{{- fail (printf "config.tls.client_auth is %s without TLS: give tls.secretName or tls.certificate.create" $clientAuth) -}}
{{- end -}}
{{- if and ($config.auth).certificates (eq $clientAuth "none") -}}
{{- fail "config.auth.certificates needs config.tls.client_auth: optional or require; nobody is asked for a certificate otherwise" -}}
{{- end -}}

{{- range $name, $setting := include "sluice.fileSettings" . | fromYaml -}}
{{- $path := join "." $setting -}}
{{- $file := get $.Values.files $name -}}
{{- if and $file (not (or $file.configMap $file.secret)) -}}
{{- fail (printf "files.%s has a key and names neither a configMap nor a secret" $name) -}}
{{- end -}}
{{- if and $file (hasKey (get $config (first $setting) | default dict) (last $setting)) -}}
{{- fail (printf "config.%s is what the chart fills in from files.%s: give one of both" $path $name) -}}
{{- end -}}
{{- end -}}

{{- range $name := list "listen" "http" "probe" -}}
{{- $address := get $config $name -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\])" $address -}}
{{- fail (printf "config.%s is %s: nobody outside of the pod reaches that, neither clients nor the kubelet; use 0.0.0.0 or [::]" $name $address) -}}
{{- end -}}
{{- end -}}
{{- $ports := list (include "sluice.port" $config.listen) (include "sluice.port" $config.http) (include "sluice.port" $config.probe) -}}
{{- if lt (len (uniq $ports)) 3 -}}
{{- fail (printf "config.listen, config.http and config.probe share a port: %s" (join ", " $ports)) -}}
{{- end -}}
{{- if has "0" $ports -}}
{{- fail "config.listen, config.http and config.probe need ports other than 0: Services and probes have to know them" -}}
{{- end -}}

{{- with .Values.service -}}
{{- if and (eq .type "ClusterIP") (or .nodePort .externalTrafficPolicy .loadBalancerClass .loadBalancerSourceRanges) -}}
{{- fail "service.type is ClusterIP: nodePort, externalTrafficPolicy, loadBalancerClass and loadBalancerSourceRanges are for NodePort and LoadBalancer" -}}
{{- end -}}
{{- end -}}

{{- $grace := include "sluice.grace" . | int64 -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- if lt (int64 .) $grace -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: the server would be killed before it has flushed; config.shutdown_timeout (%s), preStopSleepSeconds (%d) and 5 more make %d" (int64 .) $config.shutdown_timeout (int64 $.Values.preStopSleepSeconds) $grace) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.preStopSleepSeconds (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "preStopSleepSeconds needs Kubernetes 1.30 (the image has no shell for another way); this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}

{{- if and $config.memory_budget (.Values.resources.limits).memory -}}
{{- $budget := include "sluice.size" $config.memory_budget | required (printf "config.memory_budget is %v: write it with KiB, MiB or GiB" $config.memory_budget) -}}
{{- if ge (int64 $budget) (include "sluice.memoryLimit" . | int64) -}}
{{- fail (printf "config.memory_budget is %v and resources.limits.memory %s: the limit has to be above the budget by what gRPC, topics and streams take, or the kernel ends the server" $config.memory_budget .Values.resources.limits.memory) -}}
{{- end -}}
{{- end -}}

{{- if .Values.networkPolicy.enabled -}}
{{- with .Values.networkPolicy.egress -}}
{{- if and (hasPrefix "https://" (($config.auth).jwt_keys | default "")) (not .jwks.to) -}}
{{- fail (printf "config.auth.jwt_keys is %s and networkPolicy.egress.jwks.to names nobody: the keys could not be fetched" $config.auth.jwt_keys) -}}
{{- end -}}
{{- if and ($config.trace).endpoint (not .otlp.to) -}}
{{- fail (printf "config.trace.endpoint is %s and networkPolicy.egress.otlp.to names nobody: traces could not be sent" $config.trace.endpoint) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
