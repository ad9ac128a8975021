# Sourced: start_server runs the release build's sluiced on free ports with a store of its own, sets SLUICE_SERVER and
# METRICS, and stops it when the shell ends. restart_server kills it and starts it again with the same port and store.
interop_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

start_server() {
  interop_work=$(mktemp -d)
  trap 'kill -TERM $interop_server 2>/dev/null; wait $interop_server 2>/dev/null; rm -rf "$interop_work"' EXIT
  launch_server 127.0.0.1:0 "$@"
}

restart_server() {
  kill -KILL "$interop_server"
  wait "$interop_server" 2>/dev/null
  launch_server "$SLUICE_SERVER"
}

# launch_server ADDRESS [FLAG...]
launch_server() {
  # Here already: the ready line of the one before must not be taken for the new one's.
  : >"$interop_work/log"
  "$interop_root/build/release/bin/sluiced" --listen="$1" --http=127.0.0.1:0 --data-dir="$interop_work/store" "${@:2}" \
    2>"$interop_work/log" &
  interop_server=$!
  until grep -q ' ready ' "$interop_work/log"; do
    kill -0 "$interop_server" 2>/dev/null || { cat "$interop_work/log" >&2; return 1; }
    sleep 0.05
  done
  SLUICE_SERVER=$(grep -o ' grpc=[^ ]*' "$interop_work/log" | cut -d= -f2)
  METRICS="http://$(grep -o ' http=[^ ]*' "$interop_work/log" | cut -d= -f2)/metrics"
  export SLUICE_SERVER METRICS
}
