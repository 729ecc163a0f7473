#!/usr/bin/env bash
# Makes a base image from the files of this machine, for places that reach no registry: the programs named, the libraries
# that they and Node.js are linked with, CA certificates. Needs the docker command; the engine is DOCKER_HOST's.
#   base-image.sh NAME [PROGRAM…]      e.g. base-image.sh berth-base sh setpriv unshare mount
set -euo pipefail
name=${1:?name of the image}
shift
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(sh setpriv unshare mount umount mkdir)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

copy() {
  [ -e "$root$1" ] && return
  mkdir -p "$root$(dirname "$1")"
  cp --dereference "$1" "$root$1"
}

# What it is linked with, and what that is linked with.
libraries_of() {
  ldd "$1" 2>/dev/null | { grep -o '/[^ )]*' || true; }
}

# With its libraries, at the same paths.
add() {
  local library
  copy "$1"
  for library in $(libraries_of "$1"); do copy "$library"; done
}

for program in "${programs[@]}"; do add "$(readlink -f "$(command -v "$program")")"; done
# By the names under which they are called.
for program in "${programs[@]}"; do
  path=$(command -v "$program")
  mkdir -p "$root/usr/bin"
  [ -e "$root/usr/bin/$program" ] || cp "$root$(readlink -f "$path")" "$root/usr/bin/$program"
done
for link in bin sbin; do [ -e "$root/$link" ] || ln -s usr/bin "$root/$link"; done
for node in "$(dirname "$0")"/../{,node-versions/*/}node_modules/node-linux-*/bin/node; do
  for library in $(libraries_of "$node"); do copy "$library"; done
done
for extra in /etc/ssl/certs/ca-certificates.crt /lib/*-linux-gnu/libnss_files.so.2; do
  if [ -e "$extra" ]; then copy "$extra"; fi
done
mkdir -p "$root"/{etc,tmp,proc,sys,dev,run,root,data}
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c . | docker import - "$name"
