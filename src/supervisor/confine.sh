# Stands in a mount namespace of its own, still as root: covers folders that the server's user may not pass through with
# empty ones, and puts what the server needs at its old place in them. Then runs the command that gives up root.
# $1: empty folder  then: what the server needs  --  folders to cover  --  command
stash=$1
shift
mount -n -t tmpfs -o mode=700,size=64k,nosuid,nodev stash "$stash" || exit 121
n=0
for path; do
  [ "$path" = -- ] && break
  n=$((n + 1))
  if [ -d "$path" ]; then mkdir "$stash/$n"; else : >"$stash/$n"; fi
  mount -n -c --rbind "$path" "$stash/$n" || exit 122
done
part=needs
for path; do
  if [ "$path" = -- ]; then
    [ $part = covers ] && break
    part=covers
  elif [ $part = covers ]; then
    mount -n -c -t tmpfs -o mode=755,size=64k,nosuid,nodev cover "$path" || exit 123
  fi
done
n=0
umask 022
while [ "$1" != -- ]; do
  n=$((n + 1))
  mkdir -p "${1%/*}"
  if [ -d "$stash/$n" ]; then mkdir -p "$1"; elif [ ! -e "$1" ]; then : >"$1"; fi
  mount -n -c --rbind "$stash/$n" "$1" || exit 124
  shift
done
shift
while [ "$1" != -- ]; do shift; done
shift
umount -n -l "$stash" || exit 125
exec "$@"
