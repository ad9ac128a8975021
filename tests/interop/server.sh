# Sourced: start_server runs the release build's sluiced on free ports with a store of its own, sets SLUICE_SERVER and
# METRICS, and stops it when the shell ends.
start_server() {
  local root work
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  work=$(mktemp -d)
  "$root/build/release/bin/sluiced" --listen=127.0.0.1:0 --http=127.0.0.1:0 --data-dir="$work/store" 2>"$work/log" &
  local server=$!
  # shellcheck disable=SC2064
  trap "kill -TERM $server 2>/dev/null; wait $server 2>/dev/null; rm -rf '$work'" EXIT
  until grep -q ' ready ' "$work/log"; do
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; return 1; }
    sleep 0.05
  done
  SLUICE_SERVER=$(grep -o ' grpc=[^ ]*' "$work/log" | cut -d= -f2)
  METRICS="http://$(grep -o ' http=[^ ]*' "$work/log" | cut -d= -f2)/metrics"
  export SLUICE_SERVER METRICS
}
