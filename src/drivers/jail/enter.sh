# Stands in a mount namespace of its own: puts the sandbox's root together at /mnt, then bubblewrap makes the jail of it.
# Overlay directories and files are named relative to the working directory, so that no path of the host shows in the
# sandbox's /proc/self/mountinfo, and nothing above the working directory needs to be open to this uid.
# $1: lower directories  $2: options of /tmp  $3: channel directory  $4: directory of bubblewrap's arguments and filter
# $5…: command in the jail. Descriptor 4: bubblewrap tells the pid of the jail's first process.
mount -n -t overlay -o "lowerdir=$1" root /mnt || exit 124
mount -n -t tmpfs -o "$2" tmp /mnt/tmp || exit 123
mount -n -c -o bind,ro "$3" /mnt/berth/channel || exit 122
launch=$4
shift 4
# Else the jail's first process would show it in /proc/1/environ.
unset PWD OLDPWD
exec bwrap --args 6 6<"$launch/arguments" 5<"$launch/seccomp" -- "$@"
