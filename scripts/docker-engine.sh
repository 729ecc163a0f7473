#!/usr/bin/env bash
# A Docker Engine of one's own for tests, with gVisor as a second runtime, in a folder of its own; needs root.
#   docker-engine.sh start DIR                  installs docker.io and runsc where they are missing, starts it, prints its
#                                               DOCKER_HOST
#   docker-engine.sh start DIR --userns-remap   one whose containers have a user namespace
#   docker-engine.sh stop DIR                   ends it and removes the folder
# Both may be called again. Its own containerd, no bridge of its own, with its own socket: an engine that the machine
# already runs is not touched.
set -euo pipefail
action=${1:?start or stop} dir=${2:?a folder for the engine} option=${3:-}
host=unix://$dir/docker.sock
# Long enough for a slow machine; the engine needs about a second.
start_seconds=90
stop_seconds=30
# The user whose numbers the engine maps, and from where on.
remapped=berth-remapped remapped_from=231072

ping_engine() {
  curl --silent --fail --max-time 2 --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null 2>&1
}

is_alive() {
  [ -n "$1" ] && kill -0 "$1" 2>/dev/null
}

# Of a program of this engine: the number in a file that was left over may be another program's by now.
pid_in() {
  local pid
  [ -f "$1" ] || return 0
  pid=$(cat "$1")
  if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$dir/"; then echo "$pid"; fi
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
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}"
}

# An overlay cannot lie on another one, and what the engine takes in its place copies whole images.
prepare_data() {
  mkdir -p "$dir/data"
  if [ "$(stat --file-system --format %T "$dir/data")" = overlayfs ]; then
    mount -t tmpfs -o size=6g,mode=0711 engine-data "$dir/data"
  fi
}

# The engine looks for the user and his numbers in files of /etc: it sees ones of its own there, the machine's stay as they are.
prepare_users() {
  local file
  # Root in a container is another one here, and goes through to what it is given.
  chmod o+x "$dir"
  for file in passwd group; do cp "/etc/$file" "$dir/$file"; done
  echo "$remapped:x:$remapped_from:$remapped_from::/:/usr/sbin/nologin" >>"$dir/passwd"
  echo "$remapped:x:$remapped_from:" >>"$dir/group"
  for file in subuid subgid; do
    echo "$remapped:$remapped_from:65536" >"$dir/$file"
    # To mount it over.
    [ -e "/etc/$file" ] || : >"/etc/$file"
  done
}

# In a mount namespace where those files are mounted; exec, so that its number stays.
in_own_etc() {
  # shellcheck disable=SC2016 # of the inner shell
  exec unshare --mount sh -c '
    dir=$1; shift
    for file in passwd group subuid subgid; do mount --bind "$dir/$file" "/etc/$file"; done
    exec "$@"' sh "$dir" "$@"
}

# What lives on shall hold nothing of who started it: a lock, a pipe that somebody waits on.
close_inherited() {
  local path fd
  for path in "/proc/$BASHPID/fd/"*; do
    fd=${path##*/}
    if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
  done
}

start() {
  mkdir -p "$dir"
  if ping_engine; then
    echo "$host"
    return
  fi
  install_missing >"$dir/install.log" 2>&1 || {
    tail -n 20 "$dir/install.log" >&2
    exit 1
  }
  # A start that was cut off may have left one that hangs.
  end_engine
  prepare_data
  local run=(exec) remap=()
  if [ "$option" = --userns-remap ]; then
    prepare_users
    run=(in_own_etc) remap=(--userns-remap "$remapped")
  fi
  # ptrace is the platform of gVisor that works without KVM; host-uds lets a sandbox connect to a mounted socket.
  # runsc-closed is for the tests of an engine where no sandbox can.
  cat >"$dir/daemon.json" <<JSON
{
  "runtimes": { "runsc": { "path": "$(command -v runsc)",
    "runtimeArgs": ["--platform=ptrace", "--network=none", "--host-uds=open"] },
    "runsc-closed": { "path": "$(command -v runsc)", "runtimeArgs": ["--platform=ptrace", "--network=none"] } },
  "bridge": "none", "iptables": false, "ip-forward": false, "ip-masq": false
}
JSON
  (
    close_inherited
    "${run[@]}" nohup dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" \
      --pidfile "$dir/docker.pid" --host "$host" ${remap[@]+"${remap[@]}"} >"$dir/log" 2>&1 </dev/null
  ) &
  local pid=$!
  echo "$pid" >"$dir/pid"
  local end=$((SECONDS + start_seconds))
  while is_alive "$pid" && [ "$SECONDS" -lt "$end" ]; do
    if ping_engine; then
      echo "$host"
      return
    fi
    sleep 0.2
  done
  echo "the engine did not answer within $start_seconds s; the end of its log:" >&2
  tail -n 30 "$dir/log" >&2
  end_engine
  exit 1
}

# Asks it to end, and its containerd, which outlives it when it is killed; then makes sure.
end_engine() {
  local pid
  for file in "$dir/pid" "$dir/exec/containerd/containerd.pid"; do
    pid=$(pid_in "$file")
    is_alive "$pid" || continue
    kill "$pid" 2>/dev/null || true
    local end=$((SECONDS + stop_seconds))
    while is_alive "$pid" && [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -f "$dir/pid" "$dir/docker.pid"
}

stop() {
  [ -d "$dir" ] || return 0
  end_engine
  # What is mounted below its folder, by it or by us.
  awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
  rm -rf "$dir"
}

"$action"
