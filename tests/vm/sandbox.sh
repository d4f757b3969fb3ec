#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What an attacker could do who got as far as the child, and who may see what:
# attempts behind the daemon's own sandbox, the living processes, the control
# socket, secrets in memory and logs; and lunstickd@.service under a real systemd.
. "$(dirname "$0")/lib.sh"
need_packages e2fsprogs
vm_begin sandbox

# disk_image FILE: systemd and gdb of the guests' suite as an ext4 file system,
# made once; what has nothing to do here is masked.
disk_image() {
    local suite=${LUNSTICK_SIM_SUITE:-bookworm} cache tmp deb unit
    cache=$LUNSTICK_CACHE/sim/systemd-$suite-$(declare -f disk_image | cksum | cut -d' ' -f1).ext4
    if [ ! -e "$cache" ]; then
        tmp=$(mktemp -d "$LUNSTICK_CACHE/sim/systemd.XXXXXX")
        mkdir -p "$tmp"/root/usr/{bin,sbin,lib} "$tmp"/root/{proc,sys,dev,run,tmp,etc/systemd/system}
        ln -s usr/bin usr/sbin usr/lib "$tmp/root/"
        fetch_debs_with_deps "$suite" arm64 "$LUNSTICK_CACHE/sim/debs" systemd gdb-minimal \
            busybox-static >"$tmp/debs"
        while read -r deb; do
            dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$tmp/root" \
                --exclude='./usr/share/*' --exclude='*/system-generators' --exclude='*/gconv'
        done <"$tmp/debs"
        for unit in sh nsenter su; do ln -sf busybox "$tmp/root/usr/bin/$unit"; done
        for unit in systemd-{sysusers,journal-flush,modules-load,sysctl,tmpfiles-setup}.service \
            systemd-{tmpfiles-setup-dev,update-utmp,firstboot,random-seed,hwdb-update}.service \
            systemd-{machine-id-commit,udevd,udev-trigger}.service systemd-journald-audit.socket \
            systemd-ask-password-console.path {crypt,integrity,verity}setup.target swap.target \
            dev-hugepages.mount dev-mqueue.mount sys-kernel-{debug,tracing}.mount tmp.mount \
            modprobe@libcomposite.service; do
            ln -sf /dev/null "$tmp/root/etc/systemd/system/$unit"
        done
        printf '[Unit]\nDefaultDependencies=no\n' >"$tmp/root/etc/systemd/system/guest.target"
        echo 0123456789abcdef0123456789abcdef >"$tmp/root/etc/machine-id"
        truncate -s 160M "$tmp/ext4"
        mkfs.ext4 -q -O ^has_journal -d "$tmp/root" "$tmp/ext4"
        rm -f "$LUNSTICK_CACHE/sim/systemd-$suite-"*.ext4
        mv "$tmp/ext4" "$cache"
        rm -rf "$tmp"
    fi
    cp --sparse=always "$cache" "$1"
}

# Below /mnt is the disk; systemd gets it as its root, in namespaces of its own.
# Its programs are not this script's: in here an outer command line is seen by ps.
set_up_guest() {
    both run -t 120 - <<'END'
set -e
mkdir -p /run/empty
modprobe ext4
mount /dev/vda /mnt
for user in lunstick:64 member:65 other:66; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/:/bin/sh" >>/etc/passwd
done
echo 'nobody:x:65534:65534::/:/bin/false' >>/etc/passwd
printf '%s\n' lunstick:x:64:member member:x:65: other:x:66: nogroup:x:65534: >>/etc/group
cp /etc/passwd /etc/group /mnt/etc/
cp -a /usr/sbin/lunstickd /mnt/usr/sbin/
cp -a /usr/bin/lunstick /mnt/usr/bin/
mkdir -p /mnt/usr/share
cp -a /usr/share/lunstick /mnt/usr/share/
mkdir -p /mnt/etc/lunstick /etc/lunstick
cp -a /root/lunstick/* /etc/lunstick/
cp -a /root/lunstick/* /mnt/etc/lunstick/
cp /root/*.service /mnt/usr/lib/systemd/system/
# the daemon's two processes, or nothing
cat >/usr/bin/daemon <<'X'
#!/bin/sh
for pid in $(pidof lunstickd); do
    up=$(cut -d' ' -f4 /proc/$pid/stat 2>/dev/null)
    case $1.$(cat /proc/$up/comm 2>/dev/null) in
    child.lunstickd) echo $pid ;;
    parent.lunstickd) echo $up ;;
    esac
done
X
chmod 755 /usr/bin/daemon
END
}

boot_systemd() {
    both run -t 120 - <<'END'
umount /mnt/proc 2>/dev/null
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs run /mnt/run
mount -t tmpfs tmp /mnt/tmp
mount --rbind /sys /mnt/sys
mount --rbind /dev /mnt/dev
cat >/run/boot <<'X'
mount --make-rprivate /
mount -t proc proc /mnt/proc
cd /mnt
mount --move . /
exec env -i container=vm chroot . /bin/sh -c \
    'mount --make-rshared /; exec /usr/lib/systemd/systemd --unit=guest.target'
X
unshare -m -p -f sh /run/boot >/run/systemd.log 2>&1 &
cat >/usr/bin/inside <<'X'
#!/bin/sh
exec nsenter -t "$(pidof systemd | tr ' ' '\n' | sort -n | head -n 1)" -m -p -r "$@"
X
chmod 755 /usr/bin/inside
END
    both run -t 120 'until inside systemctl is-active guest.target; do sleep 0.2; done' >/dev/null 2>&1
}

attempts_end_as_they_should() {
    both run "cat /sys/kernel/security/lsm 2>/dev/null || { mount -t securityfs s /sys/kernel/security; cat /sys/kernel/security/lsm; }" |
        grep landlock
    both run -t 120 'chmod 555 /run/empty; attempts /run/empty' >"$work/attempts" || true
    both run -t 120 "su other -c attempts" >>"$work/attempts" || true
    local count
    count=$(grep -c '^ok ' "$work/attempts")
    echo "$count attempts"
    [ "$count" -ge 250 ] && ! grep -vE '^ok ' "$work/attempts"
}

# has_no_right WHICH: child or parent
has_no_right() {
    both run "p=/proc/\$(daemon $1)"'
        cat $p/status
        grep -c "^Cap...:.0000000000000000$" $p/status | grep -x 5 &&
        grep -E "^Uid:.64.64.64.64$" $p/status && grep -E "^Gid:.64.64.64.64$" $p/status &&
        grep -E "^NoNewPrivs:.1$" $p/status && ! grep " .wx" $p/maps'
}

# child_has_nothing ROOT: its root directory
child_has_nothing() {
    has_no_right child
    both run 'p=/proc/$(daemon child); cat $p/limits; grep "^Seccomp:.2$" $p/status || exit
        for limit in "processes  *0  *0" "core file size  *0  *0" "open files  *64  *64" \
                     "locked memory  *unlimited"; do
            grep "^Max $limit" $p/limits || exit
        done'
    same "root directory" "$1" "$(both run 'readlink /proc/$(daemon child)/root')"
    both run 'for fd in /proc/$(daemon child)/fd/*; do readlink $fd; done' >"$work/open"
    grep ffs/ep2 "$work/open"
    ! grep -vE '^(socket:.*|anon_inode:.(signalfd|eventfd|aio).|/dev/null|/run/lunstickd.log)$' "$work/open" |
        grep -vxE '/run/lunstick/lunstick/ffs/ep[012]'
}

# status_for USER: the exit status of `lunstick status` as that user.
status_for() { both run "$1 su $2 -c 'lunstick status' >/run/said 2>&1; echo \$?"; }

# socket_is_for_its_group [inside]
socket_is_for_its_group() {
    same "a member" 0 "$(status_for "${1:-}" member)"
    same "another user" 2 "$(status_for "${1:-}" other)"
    both run 'grep "be a member of the group lunstick" /run/said'
    same "mode and group" "660 64" \
        "$(both run "${1:-} /bin/sh -c 'stat -c \"%a %g\" /run/lunstick/lunstick/control/socket'")"
    both run "${1:-} su other -c 'echo status >/run/lunstick/lunstick/control/socket' 2>&1 | grep -i 'denied\|No such device'"
}

# The patterns come from a file: a command line with a secret would find itself.
no_secret_in_proc() {
    both run 'grep -q secret-of /root/patterns && ps -o args >/run/ps &&
        ! grep -lf /root/patterns /run/ps /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null'
}

log_shows_no_secret() {
    no_secret_in_proc
    both run 'grep -q debug /run/lunstickd.log && ! grep -f /root/patterns /run/lunstickd.log'
}

# What an administrator gets who asks a debugger. That the secrets are there to be
# found shows the child's memory that is in no core.
debugger_gets_no_secret() {
    both run -t 120 '
        mount -t proc proc /mnt/proc
        for p in $(daemon child) $(daemon parent); do
            set -- "$@" -ex "attach $p" -ex "generate-core-file /core.$p" -ex detach
        done
        chroot /mnt gdb -nx -batch "$@" >/run/gdb 2>&1
        for p in $(daemon child) $(daemon parent); do
            ls -l /mnt/core.$p && grep -c lunstick /mnt/core.$p || { cat /run/gdb; exit 1; }
            ! grep -qf /root/patterns /mnt/core.$p || { echo "in the core of $p"; exit 1; }
            rm /mnt/core.$p
        done
        p=/proc/$(daemon child)
        from=$(grep -B40 "^VmFlags:.* dd" $p/smaps | grep "^[0-9a-f]*-[0-9a-f]* rw" | tail -n 1)
        dd if=$p/mem bs=4096 skip=$((0x${from%%-*} / 4096)) count=1 2>/dev/null | grep -cf /root/patterns'
}

# A core pattern that takes any core, and a process that has one.
kernel_writes_no_core() {
    both run -t 60 'printf "#!/bin/sh\ncat >/run/core.\$1\n" >/run/take; chmod 755 /run/take
        echo "|/run/take %p" >/proc/sys/kernel/core_pattern
        echo 2 >/proc/sys/fs/suid_dumpable
        sh -c "ulimit -c unlimited; exec sleep 100" & sleeper=$!
        sleep 0.2; kill -ABRT $sleeper
        until [ -s /run/core.$sleeper ]; do sleep 0.1; done
        child=$(daemon child)
        kill -ABRT $child
        until grep "ended by signal 6" /run/lunstickd.log; do sleep 0.1; done
        ! ls /run/core.$child'
}

comes_back() { both run -t 60 'until lunstick status | grep "The host sees a 16 MB disk"; do sleep 0.2; done'; }

service_serves() {
    both run -t 120 'inside systemctl start lunstickd@lunstick' || {
        both run 'inside journalctl --no-pager -o cat -u lunstickd@lunstick | tail -n 30' && return 1; }
    disk_wait both 120
    same "what the host reads" "$(head -c 1M "$work/plain.img" | sha)" \
        "$(both run 'head -c 1048576 /dev/sda' | sha)"
    both run 'inside systemctl status --no-pager lunstickd@lunstick' | tee "$work/heard"
    grep -q 'Status: "The host sees a 16 MB disk' "$work/heard"
}

# Where a process may write, by its mounts: those that are not hidden by another on
# the same place, nor below one that is.
writable_mounts='{ up[$1] = $2; place[$1] = $5; options[$1] = $6 }
END {
    for (i in up) if (place[up[i]] == place[i]) hidden[up[i]] = 1
    for (i in up) {
        seen = !hidden[i]
        for (j = i; up[j] in up; j = up[j]) if (hidden[up[j]] && place[j] != place[up[j]]) seen = 0
        if (seen && options[i] ~ /^rw/) print place[i]
    }
}'

# systemd 257 leaves the mount of sysfs as it is; its files are root's.
service_has_nothing() {
    child_has_nothing /
    has_no_right parent
    both run "awk '$writable_mounts' /proc/\$(daemon parent)/mountinfo" >"$work/writable"
    grep -x /run/lunstick/lunstick "$work/writable"
    ! grep -vxE '/(dev|dev/pts|dev/shm|tmp|var/tmp|proc|run/lunstick/lunstick(/ffs)?)' "$work/writable" |
        grep -vxE '/sys(/kernel/config/usb_gadget/lunstick|/fs/cgroup/.*/memory.pressure|/fs/fuse/connections|)'
}

service_survives_its_child() {
    both run -t 60 'old=$(daemon child); kill -KILL $old
        until [ "$(daemon child)" -ne $old ] 2>/dev/null; do sleep 0.2; done
        until inside lunstick status | grep "The host sees a 16 MB disk"; do sleep 0.2; done
        inside systemctl is-active lunstickd@lunstick'
}

journal_shows_no_secret() {
    no_secret_in_proc
    both run 'inside journalctl --no-pager -o export >/run/journal
        grep -c accepted /run/journal && ! grep -f /root/patterns /run/journal'
}

service_leaves_nothing() {
    both run -t 60 'inside systemctl stop lunstickd@lunstick'
    disk_gone both
    same "gadgets" "" "$(both run 'ls /sys/kernel/config/usb_gadget')"
    same "run directory" "" "$(both run 'inside /bin/sh -c "ls /run/lunstick"')"
    same "mounts" "" "$(both run 'inside /bin/sh -c "grep functionfs /proc/mounts"' || true)"
    same "processes" "" "$(both run 'pidof lunstickd || true')"
}

# Only the user can help: told, and not tried again.
service_gives_up_for_good() {
    both run 'inside /bin/sh -c "echo nonsense >/etc/lunstick/wrong.conf"
        ! inside systemctl start lunstickd@wrong
        inside journalctl --no-pager -o cat -u lunstickd@wrong
        inside systemctl show -p ExecMainStatus -p Result -p NRestarts -p ActiveState lunstickd@wrong' |
        tee "$work/heard"
    same "what became of it" "ActiveState=failed ExecMainStatus=2 NRestarts=0 Result=exit-code" \
        "$(grep -E '^(ActiveState|ExecMainStatus|NRestarts|Result)=' "$work/heard" | sort | xargs)"
    grep 'wrong.conf:2: syntax error' "$work/heard"
}

# ---- lunstick-map@.service ----

# Its programs are outside: no modprobe, no udev.
map_serves() {
    both run -t 120 'modprobe nbd nbds_max=0
        cd /mnt/etc/lunstick && sed s,/lunstick[.],/data., lunstick.conf >data.conf
        cp -p lunstick.secret data.secret && cp -p lunstick.target-secret data.target-secret
        inside systemctl start lunstick-map@data' || {
        both run 'inside journalctl --no-pager -o cat -u lunstick-map@data | tail -n 30' && return 1; }
    both run -t 60 'until inside lunstick status data | grep "^/dev/nbd0 is a 16 MB disk; the session .* is up"; do sleep 0.2; done'
    same "what is read" "$(head -c 1M "$work/plain.img" | sha)" "$(both run 'head -c 1048576 /dev/nbd0' | sha)"
    same "the queue" 8 "$(both run 'cat /sys/block/nbd0/queue/nr_requests')"
    both run 'inside journalctl --no-pager -o cat -u lunstick-map@data' | tee "$work/heard"
    ! grep -iE 'IO_FLUSHER|oom_score|not locked|cannot be' "$work/heard"
}

# The parent has what makes a block device, the child nothing.
map_has_little() {
    both run 'for who in child parent; do
            pid=$(daemon $who); awk "/^(Uid|CapPrm|CapEff|NoNewPrivs|Seccomp):/ {print \$1, \$2}" /proc/$pid/status | xargs
            cat /proc/$pid/oom_score_adj; done' | tee "$work/heard"
    same "child and parent" "Uid: 64 CapPrm: 0000000000000000 CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2
-1000
Uid: 64 CapPrm: 0000000000200002 CapEff: 0000000000200002 NoNewPrivs: 1 Seccomp: 2
-1000" "$(cat "$work/heard")"
    both run "awk '$writable_mounts' /proc/\$(daemon parent)/mountinfo" >"$work/writable"
    ! grep -vxE '/(dev|dev/pts|dev/shm|dev/mqueue|dev/hugepages|tmp|var/tmp|proc|run/lunstick/data|sys/devices/virtual)' \
        "$work/writable" | grep -vxE '/sys(/fs/cgroup/.*/memory.pressure|/fs/fuse/connections|)'
}

# Who reads meanwhile only waits.
map_survives() {
    both run -t 90 'old=$(daemon parent); kill -KILL $old; dd if=/dev/nbd0 of=/dev/null iflag=direct bs=64k count=16 || exit
        [ "$(daemon parent)" -ne $old ]; inside systemctl is-active lunstick-map@data'
}

map_leaves_nothing() {
    both run -t 60 'inside systemctl stop lunstick-map@data
        inside systemctl show -p Result lunstick-map@data; inside journalctl --no-pager -o cat -u lunstick-map@data' | tee "$work/heard"
    grep -x Result=success "$work/heard"
    both run '[ ! -e /sys/block/nbd0 ]'
    same "run directory" "" "$(both run 'inside /bin/sh -c "ls /run/lunstick"')"
}

mkdir "$work/lunstick"
cat >"$work/lunstick/lunstick.conf" <<END
url = "iscsi://joe@$PORTAL/iqn.2026-01.test:plain/1";
secret_file = "/etc/lunstick/lunstick.secret";
target_user = "disk";
target_secret_file = "/etc/lunstick/lunstick.target-secret";
END
printf 'secret-of-joe\n' >"$work/lunstick/lunstick.secret"
printf 'secret-of-disk\n' >"$work/lunstick/lunstick.target-secret"
chmod 600 "$work"/lunstick/*secret
printf 'secret-of-joe\nsecret-of-disk\n' >"$work/patterns"

disk_image "$work/disk.ext4"
both start --lunstickd "$LUNSTICKD" --disk "$work/disk.ext4" \
    --add "${LUNSTICKD%/*}/tests/vm/attempts:/usr/bin/attempts" \
    --add "$root/hw/systemd/lunstickd@.service:/root/lunstickd@.service" \
    --add "$root/hw/systemd/lunstick-map@.service:/root/lunstick-map@.service" \
    --add "$work/patterns:/root/patterns" \
    --add "$work/lunstick/lunstick.conf:/root/lunstick/lunstick.conf" \
    --add "$work/lunstick/lunstick.secret:/root/lunstick/lunstick.secret" \
    --add "$work/lunstick/lunstick.target-secret:/root/lunstick/lunstick.target-secret"
target_start
tgtd_target plain 16M chap=joe:secret-of-joe mutual=disk:secret-of-disk
set_up_guest
test_case "sandbox: what a child that was taken over tries ends as it should" attempts_end_as_they_should
daemon_start both --log-level debug
disk_wait both
test_case "sandbox: the child has no right, no file and no root directory" child_has_nothing /run/lunstick/lunstick/empty
test_case "sandbox: the control socket is for its group alone" socket_is_for_its_group
test_case "sandbox: ps, environment and log show no secret" log_shows_no_secret
test_case "sandbox: a debugger's core of child and parent shows no secret" debugger_gets_no_secret
test_case "sandbox: the kernel writes no core of the child" kernel_writes_no_core
test_case "sandbox: and its disk is back" comes_back
daemon_stop both
boot_systemd
test_case "sandbox: lunstickd@.service serves the disk" service_serves
test_case "sandbox: the service has no right, and little to write to" service_has_nothing
test_case "sandbox: its control socket is for its group alone" socket_is_for_its_group inside
test_case "sandbox: its child is replaced" service_survives_its_child
test_case "sandbox: its journal shows no secret, nor does /proc" journal_shows_no_secret
test_case "sandbox: stopped, it leaves nothing" service_leaves_nothing
test_case "sandbox: a wrong configuration is told, and not tried again" service_gives_up_for_good
test_case "sandbox: lunstick-map@.service makes a block device" map_serves
test_case "sandbox: it has the rights for that, its child has none" map_has_little
test_case "sandbox: killed, it is started again, and takes the device over" map_survives
test_case "sandbox: lunstick-map@.service stopped, nothing is left" map_leaves_nothing
