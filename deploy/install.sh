#!/usr/bin/env bash
# install.sh [GROUP...]: installs what is missing of the programs that the build, the tests and the local cluster call.
# Groups: build, cluster (Redis, nginx, Prometheus), interop (JavaScript, Python, Java, Chromium), lint. Without one: all of them.
# Debian and its relatives, as root or with sudo; elsewhere, and for whoever may not install, it says what is missing and fails.
set -euo pipefail

declare -A packages=(
  [build]='cc:gcc c++:g++ make:make pkg-config:pkg-config git:git curl:curl'
  [cluster]='redis-server:redis-server redis-cli:redis-tools nginx:nginx prometheus:prometheus promtool:prometheus'
  [interop]='node:nodejs npm:npm python3:python3 javac:default-jdk-headless mvn:maven chromium:chromium'
  [lint]='shellcheck:shellcheck docker-compose:docker-compose'
)
# What a program of that name is needed for cannot be seen from `command -v` alone.
extra() { [ "$1" != interop ] || python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv; }

groups=("$@")
[ $# -gt 0 ] || groups=(build cluster interop lint)
missing=()
for group in "${groups[@]}"; do
  for pair in ${packages[$group]:?no such group}; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
done
for group in "${groups[@]}"; do mapfile -t -O "${#missing[@]}" missing < <(extra "$group"); done

if [ "${#missing[@]}" -gt 0 ]; then
  echo "install.sh: missing: ${missing[*]}" >&2
  if ! command -v apt-get > /dev/null; then echo 'install.sh: no apt-get here; please install them yourself' >&2; exit 1; fi
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || { echo 'install.sh: not root and no sudo; please install them yourself' >&2; exit 1; }
    as_root=(sudo)
  fi
  export DEBIAN_FRONTEND=noninteractive
  # Packages that bring a service must not start it: everything here runs on ports of its own.
  policy=/usr/sbin/policy-rc.d
  mine=''
  [ -e "$policy" ] || { mine=1; printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null; "${as_root[@]}" chmod +x "$policy"; }
  done_with_policy() { [ -z "$mine" ] || "${as_root[@]}" rm -f "$policy"; }
  trap done_with_policy EXIT
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
fi

for group in "${groups[@]}"; do
  [ "$group" = build ] || continue
  if ! command -v cargo > /dev/null; then
    echo 'install.sh: cargo is missing: install rustup, and rust-toolchain.toml chooses the toolchain' >&2
    exit 1
  fi
done
