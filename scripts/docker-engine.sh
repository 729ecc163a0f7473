#!/usr/bin/env bash
# A Docker Engine of one's own for tests, with gVisor as a second runtime, in a folder of its own; needs root.
#   docker-engine.sh start DIR   installs docker.io and runsc where they are missing, starts it, prints its DOCKER_HOST
#   docker-engine.sh stop DIR    ends it and removes the folder
# Its own containerd, bridge-less, with its own socket: an engine that the machine already runs is not touched.
set -euo pipefail
action=${1:?start or stop} dir=${2:?a folder for the engine}
host=unix://$dir/docker.sock
# Long enough for a slow machine; the engine needs about a second.
tries=120

ping_engine() {
  curl --silent --fail --max-time 2 --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null 2>&1
}

install_missing() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v runsc >/dev/null || missing+=(runsc)
  command -v iptables >/dev/null || missing+=(iptables)
  command -v curl >/dev/null || missing+=(curl)
  [ ${#missing[@]} -eq 0 ] && return
  apt-get update -qq
  # Only the programs: no service of the machine's own is started for tests.
  printf '#!/bin/sh\nexit 101\n' >"$dir/policy-rc.d"
  chmod 755 "$dir/policy-rc.d"
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    ln -s "$dir/policy-rc.d" /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' RETURN
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

start() {
  mkdir -p "$dir"
  if ping_engine; then
    echo "$host"
    return
  fi
  install_missing >"$dir/install.log" 2>&1 || {
    tail -n 5 "$dir/install.log" >&2
    exit 1
  }
  # ptrace is the platform of gVisor that works without KVM; host-uds lets a sandbox connect to a mounted socket.
  cat >"$dir/daemon.json" <<JSON
{
  "runtimes": { "runsc": { "path": "$(command -v runsc)",
    "runtimeArgs": ["--platform=ptrace", "--network=none", "--host-uds=open"] } },
  "bridge": "none", "iptables": false, "ip-forward": false, "ip-masq": false
}
JSON
  nohup dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" --host "$host" >"$dir/log" 2>&1 </dev/null &
  for _ in $(seq "$tries"); do
    if ping_engine; then
      echo "$host"
      return
    fi
    sleep 0.5
  done
  echo "the engine did not answer; the end of its log:" >&2
  tail -n 5 "$dir/log" >&2
  exit 1
}

stop() {
  [ -f "$dir/pid" ] || return 0
  local pid
  pid=$(cat "$dir/pid")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq "$tries"); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.5
  done
  # What the engine mounted below its folder and did not unmount.
  awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
  rm -rf "$dir"
}

"$action"
