#!/usr/bin/env bash
# A cluster on this machine without containers: Redis, N nodes and nginx with sticky sessions, on free ports of the loopback address.
# Works as root and as an ordinary user. Everything that runs is known by its process id and is stopped by it.
set -euo pipefail

usage() {
  cat <<'U'
usage: cluster.sh up [options] [-- FLAGS FOR EVERY NODE]    start, and print the addresses
       cluster.sh status|down [--dir DIR]                   show, or stop everything
       cluster.sh address NAME [--dir DIR]                  print one address (redis, nginx, node1, node1-admin, ...)
       cluster.sh stop|kill|start PART [--dir DIR]          one part (redis, nginx, node1, ...): SIGTERM, SIGKILL, start again on the same port

options of up:
  --dir DIR       where logs and process ids go (default: $SOCKEYE_LOCAL_DIR, else sockeye-<uid> in the temporary directory)
  --nodes N       how many nodes (default 2)
  --binary FILE   the program to run (default: target/release/sockeye, built if it is missing)
  --no-admin      the program has no --admin-listen and serves health and metrics on its one port
  --no-nginx      nodes only, no proxy
  --prometheus    a Prometheus, too, which scrapes every node
  --listen PORT   the port of nginx (default: any free one below 32768)
U
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=${SOCKEYE_LOCAL_DIR:-${TMPDIR:-/tmp}/sockeye-$(id -u)}
nodes=2 binary='' admin=1 nginx=1 prometheus='' listen='' node_flags=()

fail() { echo "cluster.sh: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is not installed; deploy/install.sh installs what is missing"; }

# --- processes ------------------------------------------------------------------------------------------------------------------------------------

# A process id alone could have been given to somebody else meanwhile; with its start time it is unique.
started_at() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; stat=${stat##*) }; set -- $stat; echo "${20}"; }
alive() { # PART
  local pid at
  read -r pid at 2>/dev/null < "$dir/$1.pid" || return 1
  [ "$(started_at "$pid")" = "$at" ] && [ "$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null)" != Z ]
}
launch() { # PART: runs $dir/PART.start, which ends in an exec, so that this process id is the program's
  setsid bash "$dir/$1.start" >> "$dir/$1.log" 2>&1 < /dev/null &
  echo "$! $(started_at $!)" > "$dir/$1.pid"
}
end() { # PART SIGNAL
  alive "$1" || { rm -f "$dir/$1.pid"; return 0; }
  local pid
  read -r pid _ < "$dir/$1.pid"
  kill "-$2" "$pid" 2>/dev/null || true
  for _ in $(seq 150); do alive "$1" || break; sleep 0.1; done
  if alive "$1"; then echo "cluster.sh: $1 did not end within 15 s, killing it" >&2; kill -KILL "$pid" 2>/dev/null || true; fi
  rm -f "$dir/$1.pid"
}

# --- ports and readiness ----------------------------------------------------------------------------------------------------------------------------

open_port() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Below 32768, where no outgoing connection takes a port away between the choice and its use.
free_port() { local p; while :; do p=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); open_port "$p" || { echo "$p"; return; }; done; }
http_ok() { # PORT PATH
  local status
  status=$( (exec 3<> "/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3 && head -n 1 <&3) 2>/dev/null) || return 1
  [[ $status == *' 200 '* ]]
}
ready() { # PART PORT
  case $1 in
    redis) [ "$(redis-cli -h 127.0.0.1 -p "$2" ping 2>/dev/null)" = PONG ] ;;
    nginx) open_port "$2" ;;
    prometheus) http_ok "$2" /-/ready ;;
    *) http_ok "$2" /healthz ;;
  esac
}
wait_ready() { # PART PORT
  for _ in $(seq 600); do
    if ! alive "$1"; then return 1; fi
    ready "$1" "$2" && return 0
    sleep 0.05
  done
  return 1
}
# Another program may take a free port before the part binds it: then the next port is tried.
try_ports() { # PART WRITER PORT-OR-NOTHING [MORE...]: WRITER PART PORT MORE... writes $dir/PART.start
  local part=$1 writer=$2 wanted=$3 port
  shift 3
  for _ in 1 2 3; do
    port=${wanted:-$(free_port)}
    "$writer" "$part" "$port" "$@"
    launch "$part"
    wait_ready "$part" "$port" && { record "$part" "$port"; return 0; }
    end "$part" KILL
  done
  echo "cluster.sh: $part did not start; the end of $dir/$part.log:" >&2
  tail -n 20 "$dir/$part.log" >&2
  return 1
}
record() { # PART PORT
  printf '%s\n' "$2" > "$dir/$1.port"
  case $1 in
    redis) address "$1" "redis://127.0.0.1:$2" ;;
    node*) address "$1" "http://127.0.0.1:$(cat "$dir/$1.listen")"; address "$1-admin" "http://127.0.0.1:$2" ;;
    *) address "$1" "http://127.0.0.1:$2" ;;
  esac
}
address() { printf '%-14s %s\n' "$1" "$2" >> "$dir/addresses"; }
exec_line() { printf 'exec'; printf ' %q' "$@"; echo; }

# --- the parts --------------------------------------------------------------------------------------------------------------------------------------

write_redis() { # PART PORT
  exec_line redis-server --bind 127.0.0.1 --port "$2" --dir "$dir" --save '' --appendonly no > "$dir/$1.start"
}
write_node() { # PART PORT BUS: the port is the one that answers /healthz
  local listen=$2 flags=()
  if [ -n "$admin" ]; then listen=$(free_port); flags=(--admin-listen "127.0.0.1:$2"); fi
  echo "$listen" > "$dir/$1.listen"
  {
    printf 'SOCKEYE_SECRET=$(cat %q) SOCKEYE_NODE_NAME=%s\nexport SOCKEYE_SECRET SOCKEYE_NODE_NAME\n' "$dir/secret" "$1"
    exec_line "$binary" --listen "127.0.0.1:$listen" "${flags[@]}" --bus "$3" ${node_flags[@]+"${node_flags[@]}"}
  } > "$dir/$1.start"
}
write_nginx() { # PART PORT SERVERS
  mkdir -p "$dir/conf.d" "$dir/tmp"
  cp "$root/deploy/nginx/nginx.conf" "$dir/nginx.conf"
  sed -e "s|\${SOCKEYE_LISTEN}|127.0.0.1:$2|" -e "s|\${SOCKEYE_NODES}|$3|" "$root/deploy/nginx/templates/sockeye.conf.template" > "$dir/conf.d/sockeye.conf"
  exec_line nginx -p "$dir" -c nginx.conf -e "$dir/nginx-start.log" -g 'daemon off;' > "$dir/$1.start"
}
write_prometheus() { # PART PORT
  cp "$root/deploy/prometheus/prometheus.yml" "$root/deploy/prometheus/alerts.yml" "$dir/"
  local targets=''
  for n in $(seq "$nodes"); do targets+="${targets:+,}\"127.0.0.1:$(cat "$dir/node$n.port")\""; done
  printf '[{"targets": [%s]}]\n' "$targets" > "$dir/targets.json"
  exec_line prometheus --config.file "$dir/prometheus.yml" --storage.tsdb.path "$dir/tsdb" --web.listen-address "127.0.0.1:$2" > "$dir/$1.start"
}

# --- commands -----------------------------------------------------------------------------------------------------------------------------------------

parts() { local f; for f in "$dir"/*.start; do [ -e "$f" ] && basename "$f" .start; done; return 0; }
up() {
  need redis-server; need redis-cli
  [ -z "$nginx" ] || need nginx
  [ -z "$prometheus" ] || need prometheus
  for part in $(parts); do alive "$part" && fail "$part is running in $dir already; '$0 down' stops it"; done
  if [ -z "$binary" ]; then
    binary=${CARGO_TARGET_DIR:-$root/target}/release/sockeye
    [ -x "$binary" ] || (cd "$root" && cargo build --release -p sockeye --bin sockeye >&2)
  fi
  binary=$(realpath "$binary")
  # nginx started by root works as another user, who has to reach its temporary files; names of files in here stay unlisted.
  chmod 711 "$dir"
  rm -f "$dir"/*.start "$dir"/*.pid "$dir"/*.port "$dir"/*.log "$dir/addresses"
  (umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$dir/secret")
  trap 'down >&2' EXIT
  try_ports redis write_redis ''
  local servers='' n
  for n in $(seq "$nodes"); do
    try_ports "node$n" write_node '' "redis://127.0.0.1:$(cat "$dir/redis.port")"
    servers+="server 127.0.0.1:$(cat "$dir/node$n.listen") max_fails=1 fail_timeout=2s; "
  done
  [ -z "$nginx" ] || try_ports nginx write_nginx "$listen" "$servers"
  [ -z "$prometheus" ] || try_ports prometheus write_prometheus ''
  trap - EXIT
  cat "$dir/addresses"
}
down() {
  local part
  for part in $(parts | sort -r); do [ "$part" = redis ] || end "$part" TERM; done
  end redis TERM
}
status() {
  [ -f "$dir/addresses" ] || { echo "nothing was started in $dir"; return 0; }
  cat "$dir/addresses"
  local part
  for part in $(parts); do
    if alive "$part"; then printf '%-14s runs as process %s\n' "$part" "$(cut -d' ' -f1 "$dir/$part.pid")"; else printf '%-14s is stopped\n' "$part"; fi
  done
}

command=${1:-}
[ $# -eq 0 ] || shift
part=''
case $command in stop | kill | start | address) part=${1:?which part?}; shift ;; esac
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=$2; shift 2 ;;
    --nodes) nodes=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --no-admin) admin=''; shift ;;
    --no-nginx) nginx=''; shift ;;
    --prometheus) prometheus=1; shift ;;
    --listen) listen=$2; shift 2 ;;
    --) shift; node_flags=("$@"); break ;;
    *) usage >&2; exit 2 ;;
  esac
done
[ "$command" != up ] || mkdir -p "$dir"
[ ! -d "$dir" ] || dir=$(cd "$dir" && pwd)
case $command in
  up) up ;;
  down) down ;;
  status) status ;;
  address) awk -v name="$part" '$1 == name { print $2; found = 1 } END { exit !found }' "$dir/addresses" || fail "no $part in $dir" ;;
  stop) end "$part" TERM ;;
  kill) end "$part" KILL ;;
  start)
    [ -f "$dir/$part.start" ] || fail "there is no part $part in $dir"
    alive "$part" && fail "$part runs already"
    launch "$part"
    wait_ready "$part" "$(cat "$dir/$part.port")" || { tail -n 20 "$dir/$part.log" >&2; fail "$part did not start"; }
    ;;
  *) usage >&2; exit 2 ;;
esac
