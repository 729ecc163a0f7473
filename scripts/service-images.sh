#!/usr/bin/env bash
# Makes the images of the built-in kinds of services from this machine's Debian packages, for places that reach no
# registry. They take the same variables and arguments as those of Docker's library. Needs the docker command and the
# packages redis-server and postgresql; the engine is DOCKER_HOST's.
#   service-images.sh [redis[=IMAGE]] [postgres[=IMAGE]]      both when none is named; e.g. redis=redis:7
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# Users that services get (SERVICE_UID_RANGE in src/drivers/docker/docker-options.ts): initdb wants a name for its own.
first_uid=470000 last_uid=474095

copy() {
  [ -e "$root$1" ] && return
  mkdir -p "$root$(dirname "$1")"
  cp --dereference --recursive "$1" "$root$1"
}

# With the libraries that it is linked with.
add() {
  local library
  copy "$1"
  for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ )]*' || true); do copy "$library"; done
}

prepare() {
  rm -rf "${root:?}"/*
  mkdir -p "$root"/{bin,usr/bin,etc,tmp,run,proc,sys,dev,berth/channel,berth/keeper}
  chmod 1777 "$root/tmp"
  {
    echo 'root:x:0:0:root:/:/bin/sh'
    seq "$first_uid" "$last_uid" | sed 's|.*|service&:x:&:&::/tmp:/bin/sh|'
  } >"$root/etc/passwd"
}

# The arguments after the name are changes of the image's configuration.
import() {
  local name=$1 change changes=()
  shift
  for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c . |
    docker import "${changes[@]}" - "$name"
}

redis() {
  prepare
  add "$(readlink -f "$(command -v redis-server)")"
  mv "$root$(readlink -f "$(command -v redis-server)")" "$root/usr/bin/redis-server"
  mkdir -p "$root/data"
  import "$1" 'CMD ["/usr/bin/redis-server"]' 'ENV PATH=/usr/bin:/bin' 'EXPOSE 6379'
}

postgres() {
  local home program
  home=$(printf '%s\n' /usr/lib/postgresql/* | sort -V | tail -n 1)
  prepare
  for program in "$home"/bin/{postgres,initdb}; do add "$program"; done
  for program in "$home"/lib/*.so; do add "$program"; done
  for program in sh mv rm; do
    add "$(readlink -f "$(command -v "$program")")"
    cp "$(readlink -f "$(command -v "$program")")" "$root/bin/$program"
  done
  copy "/usr/share/postgresql/$(basename "$home")"
  copy /usr/share/zoneinfo
  if [ -e /usr/lib/locale/C.utf8 ]; then copy /usr/lib/locale/C.utf8; fi
  cat >"$root/usr/bin/start-postgres" <<SCRIPT
#!/bin/sh
# Makes the cluster at the first start; a start that was cut off begins anew.
set -eu
if [ ! -s "\$PGDATA/PG_VERSION" ]; then
  rm -rf "\$PGDATA.new"
  umask 077
  printf '%s' "\$POSTGRES_PASSWORD" >/tmp/password
  initdb --pgdata="\$PGDATA.new" --username="\$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C \\
    --auth-local=scram-sha-256 --auth-host=scram-sha-256 --no-instructions
  rm /tmp/password
  printf 'create database "%s"\n' "\$POSTGRES_DB" | postgres --single -D "\$PGDATA.new" postgres
  mv "\$PGDATA.new" "\$PGDATA"
fi
unset POSTGRES_PASSWORD
exec postgres -D "\$PGDATA" -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp
SCRIPT
  chmod 755 "$root/usr/bin/start-postgres"
  mkdir -p "$root/var/lib/postgresql/data"
  import "$1" 'CMD ["/usr/bin/start-postgres"]' "ENV PATH=$home/bin:/usr/bin:/bin" 'EXPOSE 5432'
}

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(redis postgres)
for one in "${wanted[@]}"; do
  kind=${one%%=*}
  case $kind in
    redis) image=redis:7 ;;
    postgres) image=postgres:17 ;;
    *)
      echo "service-images.sh makes redis and postgres, not $kind" >&2
      exit 2
      ;;
  esac
  if [ "$kind" != "$one" ]; then image=${one#*=}; fi
  "$kind" "$image"
done
