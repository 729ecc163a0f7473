# The outermost process of a sandbox, run as the sandbox's own uid: moves into its control groups, or waits until the platform
# has moved it, so that everything below is in them from birth, then enters a user and a mount namespace of its own.
# $1: descriptors of files by which it moves itself; nothing below may have them. $2: text of enter.sh; the rest are its arguments.
# Descriptor 3: one line opens the gate, its end means that the platform died.
for door in $1; do
  echo 0 >&"$door" || exit 121
  eval "exec $door>&-"
done
shift
IFS= read -r _ <&3 || exit 125
exec 3<&-
umask 022
enter=$1
shift
exec unshare --user --map-root-user --mount --propagation private /bin/sh -c "$enter" jail "$@"
