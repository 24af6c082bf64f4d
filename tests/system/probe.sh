# SPDX-License-Identifier: Apache-2.0
# What a container sees of its confinement: one "key value" line for each thing that is tried.
# For busybox; run as: sh -c "$(cat probe.sh)". Nothing that succeeds changes the host.

# say KEY COMMAND...: whether a command succeeds.
say() {
    key=$1
    shift
    if ("$@") >/dev/null 2>&1; then echo "$key OK"; else echo "$key denied"; fi
}

# opens FILE: whether it can be opened for writing; not a byte is written.
opens() { true >>"$1"; }

# hidden PATH: how a path is kept from being read.
hidden() {
    if [ ! -e "$1" ]; then
        echo absent
    elif [ -d "$1" ]; then
        echo "dir:$(ls -A "$1" | wc -l)"
    elif [ "$(stat -c %t:%T "$1")" = 1:3 ]; then
        echo devnull
    else
        echo UNMASKED
    fi
}

# mounted PATH: the options of the mount there, "none" for no mount of its own.
mounted() {
    options=$(grep " $1 " /proc/self/mounts | tail -n 1 | cut -d' ' -f4)
    echo "${options:-none}"
}

# node TYPE MAJOR MINOR: whether a device file can be made, and opened.
node() {
    if ! mknod /dev/probe "$@" 2>/dev/null; then
        echo mknod-denied
        return
    fi
    opened=$( (true </dev/probe) 2>&1)
    rm /dev/probe
    case $opened in
    "") echo mknod-ok,open-ok ;;
    *"not permitted"* | *"ermission denied"*) echo mknod-ok,open-denied ;;
    *) echo mknod-ok,open-failed ;; # there is no such device
    esac
}

while read -r key value; do
    case $key in
    CapEff: | CapPrm: | CapBnd: | CapInh: | CapAmb: | Seccomp: | Seccomp_filters: | NoNewPrivs:)
        echo "${key%:} $value"
        ;;
    esac
done </proc/self/status
echo "umask $(umask)"
echo "uid_map $(echo $(cat /proc/self/uid_map))"
echo "fds $(echo $(ls /proc/self/fd))"
echo "dev $(echo $(ls /dev))"
echo "env $(echo $(env | cut -d= -f1 | sort))"

for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
    /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats \
    /sys/devices/virtual/powercap /sys/firmware; do
    echo "masked:$path $(hidden $path)"
done
for path in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger /sys; do
    [ -e $path ] && echo "ropath:$path $(mounted $path)"
done
for path in / /proc /dev /dev/pts /dev/shm /dev/mqueue /etc/hosts /sys/fs/cgroup; do
    options=$(mounted $path)
    echo "mnt:$path ${options%%,*}"
done

say w_proc_sys opens /proc/sys/kernel/panic
say w_sysrq opens /proc/sysrq-trigger
say w_core_pattern opens /proc/sys/kernel/core_pattern
say w_uevent opens /sys/kernel/uevent_helper
cgroup=/sys/fs/cgroup
[ -d $cgroup/devices ] && cgroup=$cgroup/devices
say w_cgroup mkdir $cgroup/probe
rmdir $cgroup/probe 2>/dev/null
say w_root opens /probe
rm -f /probe

echo "dev_b8_0 $(node b 8 0)"
echo "dev_mem $(node c 1 1)"
echo "dev_kmsg $(node c 1 11)"
echo "dev_fuse $(node c 10 229)"
echo "dev_tun $(node c 10 200)"

say mount_tmpfs mount -t tmpfs probe /tmp
say remount_sys mount -o remount,rw /sys
say umount_mask umount /proc/keys
say unshare_m unshare -m true
say unshare_U unshare -U true
say unshare_n unshare -n true
say cve_2022_0492 unshare -UrmC mount -t cgroup -o memory probe /tmp
say sethostname hostname "$(hostname)"
say dmesg dmesg
say chroot chroot / true
say chown chown 1:1 /dev/shm
say ping ping -c 1 -w 2 127.0.0.1
say environ_1 grep -q . /proc/1/environ
echo "pid1 $(tr '\0' '\n' </proc/1/cmdline | head -n 1)"
processes=$(ls -d /proc/[0-9]* | wc -l)
[ "$processes" -le 5 ] && processes=few
echo "nprocs $processes"
