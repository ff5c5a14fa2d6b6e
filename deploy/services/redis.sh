#!/usr/bin/env bash
# A Redis for development and tests: no container, no root, nothing outside DIR.
#
#   redis.sh start      DIR PORT    plain TCP on 127.0.0.1         redis://127.0.0.1:PORT/0
#   redis.sh start-auth DIR PORT    a user who may only publish    redis://sockeye:swim-upstream@127.0.0.1:PORT/0
#                                   and subscribe to socketio…
#   redis.sh start-tls  DIR PORT    TLS only, an authority of      rediss://localhost:PORT/0?ca=DIR/ca.crt
#                                   its own
#   redis.sh start-unix DIR PORT    a unix socket only; PORT is    redis+unix://DIR/redis.sock?db=0
#                                   not used
#   redis.sh stop       DIR PORT    ends what was started in DIR and waits until it is gone
#
# A start prints the URL when the server answers. Nothing is ever written to disk but logs and keys of the authority.
set -euo pipefail

die() { echo "redis.sh: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "'$1' is not installed (Debian: apt-get install $2)"; }
usage() { sed -n '4,12s/^#\( \|$\)//p' "$0" >&2; exit 2; }

[ $# -eq 3 ] || usage
command=$1 port=$3
mkdir -p "$2"
dir=$(cd "$2" && pwd)
pidfile=$dir/redis.pid

# A process that nobody has waited for yet is gone all the same.
alive() { case "$(ps -o stat= -p "$1")" in '' | Z*) return 1 ;; esac; }
running() { [ -s "$pidfile" ] && alive "$(cat "$pidfile")"; }

# An authority and a certificate for localhost and 127.0.0.1, made once.
certificates() {
  [ -f "$dir/server.crt" ] && return
  need openssl openssl
  (
    cd "$dir"
    curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${curve[@]}" -days 3650 -subj '/CN=Sockeye test authority' -keyout ca.key -out ca.crt
    openssl req "${curve[@]}" -subj /CN=localhost -keyout server.key -out server.csr
    printf 'subjectAltName = DNS:localhost, IP:127.0.0.1\nextendedKeyUsage = serverAuth\n' >server.ext
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext \
      -out server.crt
  ) >"$dir/openssl.log" 2>&1 || die "openssl failed: $(tail -n 3 "$dir/openssl.log")"
}

# start URL SERVER-OPTIONS... -- CLIENT-OPTIONS...
start() {
  need redis-server redis-server
  need redis-cli redis-tools
  if running; then die "a server from $dir is running already (process $(cat "$pidfile"))"; fi
  local url=$1 server=() i
  shift
  while [ "$1" != -- ]; do server+=("$1"); shift; done
  shift
  redis-server --bind 127.0.0.1 --daemonize yes --pidfile "$pidfile" --dir "$dir" --logfile "$dir/redis.log" \
    --save '' --appendonly no "${server[@]}" >/dev/null || die "redis-server did not start: $(tail -n 3 "$dir/redis.log")"
  for ((i = 0; i < 200; i++)); do
    if [ "$(redis-cli "$@" ping 2>/dev/null)" = PONG ]; then
      echo "$url"
      return
    fi
    sleep 0.05
  done
  die "the server does not answer: $(tail -n 3 "$dir/redis.log")"
}

case $command in
start)
  start "redis://127.0.0.1:$port/0" --port "$port" -- -p "$port"
  ;;
start-auth)
  # What a node or an emitter needs and nothing else; INFO and CLIENT ID are asked when a connection opens.
  may=(resetkeys resetchannels '&socketio' '&socketio:*' -@all +@connection +publish +subscribe +unsubscribe +info)
  start "redis://sockeye:swim-upstream@127.0.0.1:$port/0" --port "$port" \
    --user sockeye on '>swim-upstream' "${may[@]}" --user default off -- \
    -p "$port" --user sockeye --pass swim-upstream --no-auth-warning
  ;;
start-tls)
  certificates
  start "rediss://localhost:$port/0?ca=$dir/ca.crt" --port 0 --tls-port "$port" --tls-cert-file "$dir/server.crt" \
    --tls-key-file "$dir/server.key" --tls-ca-cert-file "$dir/ca.crt" --tls-auth-clients no -- \
    -p "$port" --tls --cacert "$dir/ca.crt"
  ;;
start-unix)
  start "redis+unix://$dir/redis.sock?db=0" --port 0 --unixsocket "$dir/redis.sock" -- -s "$dir/redis.sock"
  ;;
stop)
  [ -s "$pidfile" ] || exit 0
  pid=$(cat "$pidfile")
  kill "$pid" 2>/dev/null || true
  for ((i = 0; i < 100; i++)); do
    alive "$pid" || break
    sleep 0.05
  done
  # A stopped (SIGSTOP) or stuck server does not hear the first signal.
  if alive "$pid"; then kill -9 "$pid"; fi
  rm -f "$pidfile"
  ;;
*)
  usage
  ;;
esac
