# Stands in a mount namespace of its own: puts the sandbox's root together at /mnt, then bubblewrap makes the jail of it.
# Overlay directories and files are named relative to the working directory, so that no path of the host shows in the
# sandbox's /proc/self/mountinfo, and nothing above the working directory needs to be open to this uid.
# Descriptor 0: the table of what is mounted (mount-table.ts). $1: directory of bubblewrap's arguments and filter
# $2…: command in the jail. Descriptor 4: bubblewrap tells the pid of the jail's first process.
mount -n -c -a -T /proc/self/fd/0 || exit 124
exec </dev/null
launch=$1
shift
# Else the jail's first process would show it in /proc/1/environ.
unset PWD OLDPWD
exec bwrap --args 6 6<"$launch/arguments" 5<"$launch/seccomp" -- "$@"
