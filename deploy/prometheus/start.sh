#!/bin/sh
# Start Prometheus with the services' key, of a Docker secret or the environment: it reads keys from files alone. Of several it sends the first.
set -eu
umask 077
key=${ASKBACK_API_KEY:-$(cat /run/secrets/askback_api_key 2>/dev/null || true)}
printf %s "${key%%,*}" > /tmp/askback-key
exec prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus --storage.tsdb.retention.time=15d "$@"
