#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Wrong use of lunstickd and lunstick: the exit status, one line that names the
# cause and the fix, and nothing left behind.
#
#   BUILD=build/dev tests/cli/run.sh
#
# Prints `ok NAME`, `FAIL NAME: WHY` or `skip NAME: WHY` for each; exit status 1
# if one failed. Some tests need root and are skipped without.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
BUILD=${BUILD:-build/dev}
[ -x "$BUILD/lunstickd" ] || { echo "FAIL setup: $BUILD/lunstickd is not built"; exit 1; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# A file of the machine's own must not take part.
[ ! -e /etc/lunstick/lunstick.conf ] || { echo "skip all: /etc/lunstick/lunstick.conf exists"; exit; }
cp "$(readlink -f "$BUILD/lunstickd")" "$work/lunstickd"
ln -s lunstickd "$work/lunstick"
daemon=$work/lunstickd cli=$work/lunstick boot=$BUILD/lunstick-boot
failed=0
url=iscsi://127.0.0.1:9/iqn.2001-04.com.example:disk/0

# t NAME STATUS PATTERN COMMAND...: the command ends with STATUS within 12 s and
# says a line that the extended regular expression matches.
t() {
    local name=$1 want=$2 pattern=$3 out status=0
    shift 3
    out=$(timeout 12 "$@" 2>&1 </dev/null) || status=$?
    if [ "$status" -ne "$want" ]; then
        echo "FAIL $name: exit $status, not $want"
    elif ! grep -qE -- "$pattern" <<<"$out"; then
        echo "FAIL $name: nothing matches: $pattern"
    else
        echo "ok $name"
        return
    fi
    sed 's/^/    /' <<<"$out"
    failed=1
}

# not NAME PATTERN COMMAND...: nothing that it says matches.
not() {
    local name=$1 pattern=$2 out
    shift 2
    out=$(timeout 12 "$@" 2>&1 </dev/null)
    if [ -z "$out" ] || grep -qE -- "$pattern" <<<"$out"; then
        echo "FAIL $name: says $pattern, or nothing"
        sed 's/^/    /' <<<"$out"
        failed=1
    else
        echo "ok $name"
    fi
}

conf() { printf '%s\n' "$@" >"$work/t.conf"; }

# ---- options ----
t "unknown option names the nearest" 2 '^lunstickd: unknown option --hedaer-digest; did you mean --header-digest\?$' \
    "$daemon" --hedaer-digest "$url"
t "option without its value" 2 '^lunstickd: a value is missing after --udc$' "$daemon" "$url" --udc
t "wrong log level" 2 'allowed: error, warning, info, debug' "$daemon" "$url" --log-level loud
t "two addresses" 2 '^lunstickd: more than one address' "$daemon" "$url" "$url"
t "no address at all" 2 'iscsi://\[user@\]host\[:port\]/iqn/lun' "$daemon"
t "help" 0 '^Usage: lunstickd ' "$daemon" --help
t "version" 0 '^lunstickd [0-9]+\.[0-9]+\.[0-9]+$' "$daemon" --version

# ---- addresses ----
t "address of another scheme" 2 '^lunstickd: .*iscsi://' "$daemon" http://127.0.0.1/x/0
t "address without a LUN" 2 '^lunstickd: .*(LUN|lun)' "$daemon" iscsi://127.0.0.1/iqn.2001-04.com.example:disk
t "LUN that is no number" 2 '^lunstickd: .*(LUN|lun)' "$daemon" iscsi://127.0.0.1/iqn.2001-04.com.example:disk/x
t "port that is none" 2 '^lunstickd: .*port' "$daemon" iscsi://127.0.0.1:99999/iqn.2001-04.com.example:disk/0
t "secret in the address is refused" 2 'secret' "$daemon" 'iscsi://me%hunter2hunter2@127.0.0.1/iqn.2001-04.com.example:disk/0'
not "secret in the address is not repeated" 'hunter2' "$daemon" 'iscsi://me%hunter2hunter2@127.0.0.1/iqn.2001-04.com.example:disk/0'

# ---- configuration ----
conf "url = \"$url\";" 'read_olny = true;'
t "unknown key names file, line and the nearest" 2 "^lunstickd: $work/t.conf:2: unknown key \"read_olny\"; did you mean \"read_only\"\?$" \
    "$daemon" --config "$work/t.conf"
conf 'keepalive_ms = 5;'
t "value out of range" 2 "t.conf:1: keepalive_ms: out of range; allowed: 500 to 60000$" "$daemon" --config "$work/t.conf"
conf 'once = "yes";'
t "value of a wrong type" 2 "t.conf:1: once: not a truth value; allowed: true or false$" "$daemon" --config "$work/t.conf"
conf "url = \"$url\";" 'host = "beos";'
t "unknown host" 2 't.conf:2: host: not one of its words; allowed: "auto", "unknown", ' "$daemon" --config "$work/t.conf"
conf "url = \"$url\"; removable = false; early = true;"
t "early and fixed" 2 'set removable = true, or early = false' "$daemon" --config "$work/t.conf"
conf "url = \"$url\"" 'once true;'
t "syntax error names its line" 2 't.conf:2: syntax error' "$daemon" --config "$work/t.conf"
conf '@include "/etc/shadow"'
t "include is refused" 2 '@include is not supported' "$daemon" --config "$work/t.conf"
t "missing configuration file" 2 "^lunstickd: $work/none.conf: No such file" "$daemon" --config "$work/none.conf"
t "directory as configuration file" 2 "^lunstickd: $work: Is a directory" "$daemon" --config "$work"
# The example, and the example with every key that it shows.
not "example configuration is taken" 'lunstick.conf:[0-9]+:' "$cli" doctor --config hw/lunstick.conf
sed -E 's#^//([a-z_]+ = [^(]*;)#\1#' hw/lunstick.conf >"$work/full.conf"
if [ "$(grep -cE '^[a-z_]+ = ' "$work/full.conf")" -lt 24 ]; then
    echo "FAIL example shows all keys: too few lines"
    failed=1
fi
not "every key of the example is known" 'full.conf:[0-9]+:' "$cli" doctor --config "$work/full.conf"

# ---- secrets ----
user_url=iscsi://me@127.0.0.1:9/iqn.2001-04.com.example:disk/0
printf 'twelve-chars\n' >"$work/open"
chmod 644 "$work/open"
t "secret file that others may read (probe)" 2 "chmod 600 $work/open" "$cli" probe --secret-file "$work/open" "$user_url"
t "missing secret file (probe)" 2 "^lunstick probe: secret file $work/none: No such file" "$cli" probe --secret-file "$work/none" "$user_url"
t "directory as secret file (probe)" 2 "secret file $work: not a regular file" "$cli" probe --secret-file "$work" "$user_url"
t "user without a secret (probe)" 2 'no secret for the CHAP user "me"' "$cli" probe "$user_url"
: >"$work/empty"
chmod 600 "$work/empty"
t "empty secret file (probe)" 2 "secret file $work/empty: empty" "$cli" probe --secret-file "$work/empty" "$user_url"
printf 'twelve-chars\n' >"$work/private"
chmod 600 "$work/private"
not "secret is not repeated" 'twelve-chars' "$cli" probe --secret-file "$work/private" "$user_url"
t "secret without a user (probe)" 2 'no CHAP user' "$cli" probe --secret-file "$work/private" "$url"

# ---- the user's command ----
t "unknown verb names the nearest" 2 '^lunstick: unknown verb sattus; did you mean status\?$' "$cli" sattus
t "no verb" 2 '^Usage: lunstick VERB' "$cli"
t "lunstick help" 0 '^  lunstick probe ' "$cli" help
t "output that cannot be written is no success" 1 '^lunstick: the output: No space' sh -c "'$cli' help >/dev/full"
t "unknown option of a verb" 2 '^lunstick status: unknown option --jsno; did you mean --json\?$' "$cli" status --jsno
t "status of a daemon that does not run" 1 '^lunstick status: no daemon no-such-one runs' "$cli" status no-such-one
t "status of a name that is none" 2 "no daemon's name" "$cli" status ../x
for verb in eject insert plug unplug; do
    t "$verb of a daemon that does not run" 1 "^lunstick $verb: no daemon no-such-one runs" "$cli" "$verb" no-such-one
    t "$verb of a name that is none" 2 "no daemon's name" "$cli" "$verb" A/b
done
t "eject takes no address" 2 "^lunstick eject: iscsi://.* is no daemon's name" "$cli" eject "$url"
t "insert of an address that is none" 2 '^lunstick insert: the LUN is missing' "$cli" insert no-such-one iscsi://127.0.0.1/iqn.2001-04.com.example:disk
not "insert does not repeat a secret" 'hunter2' "$cli" insert 'iscsi://me%hunter2hunter2@127.0.0.1/iqn.2001-04.com.example:disk/0'
t "insert of two addresses" 2 '^lunstick insert: one too many: iscsi://' "$cli" insert "$url" "$url"
t "LUN without its number" 2 '^lunstick insert: a value is missing after --lun$' "$cli" insert --lun
t "LUN number that is none" 2 '^lunstick eject: --lun x is no number' "$cli" eject --lun x
t "unknown option of insert" 2 '^lunstick insert: unknown option --readonly; did you mean --read-only\?$' "$cli" insert --readonly
t "eject knows no write protection" 2 '^lunstick eject: unknown option --read-only' "$cli" eject --read-only
t "probe of a port where nobody listens" 1 '^lunstick probe: 127.0.0.1:9 refuses the connection' "$cli" probe "$url"
t "doctor names a portal that refuses" 1 '^FIX  portal +127.0.0.1 refuses port 9' "$cli" doctor "$url"

# ---- what the initramfs asks ----
t "unknown question names the nearest" 2 '^lunstick-boot: unknown question "imag"; did you mean image\?$' "$boot" imag
t "no question" 2 '^lunstick-boot: unknown question' "$boot"
t "image without a directory" 2 '^lunstick-boot: --root DIR is missing' "$boot" image
t "image with an option that is none" 2 '^lunstick-boot: unknown option "--rot"; did you mean --root\?$' "$boot" image --rot /
t "image with a value missing" 2 '^lunstick-boot: a value is missing after --root$' "$boot" image --root
t "image of a directory that is not there" 2 "^lunstick-boot: $work/none: No such file" "$boot" image --root "$work/none"
t "image where there is no kernel" 2 '^lunstick-boot: the image has no kernel: ' "$boot" image --root "$work"
t "image-words with a faulty address" 2 '^lunstick-boot: .*iscsi://' "$boot" image-words --cmdline /dev/null --url http://x
t "device-tree of a file that is none" 2 '^lunstick-boot: /dev/null is no device tree' "$boot" device-tree --from /dev/null
t "modules without a directory" 2 '^lunstick-boot: --dir DIR is missing' "$boot" modules
mkdir "$work/modules"
{ yes '#' | head -c 17M; echo kernel/nbd.ko:; } >"$work/modules/modules.dep"
t "modules whose list has no end" 2 "^lunstick-boot: the image's kernel has no module nbd: the disk$" \
    sh -c "echo need nbd the disk | '$boot' modules --dir '$work/modules'"
t "path without a root" 2 '^lunstick-boot: --root DIR or --path PATH is missing' "$boot" path --path /sbin/init
t "path in a directory that is not there" 2 "^lunstick-boot: $work/none: No such file" "$boot" path --root "$work/none" --path /
# 2047 characters, which is what a kernel can have, and one more
echo 'scsipub.iqn=iqn.2001-04.com.example:disk lunstick.portal=127.0.0.1' >"$work/defaults"
printf '%-2047s\n' lunstick.lun=3 >"$work/longest"
printf '%-2048s\n' lunstick.lun=3 >"$work/longer"
t "longest command line" 0 "^url_1='iscsi://127.0.0.1/iqn.2001-04.com.example:disk/3'$" \
    "$boot" words --cmdline "$work/longest" --defaults "$work/defaults"
t "longer command line" 2 "^lunstick-boot: $work/longer: longer than a kernel command line" \
    "$boot" words --cmdline "$work/longer" --defaults "$work/defaults"
t "longer command line leaves the builder's words" 2 "^url_1='iscsi://127.0.0.1/iqn.2001-04.com.example:disk/0'$" \
    "$boot" words --cmdline "$work/longer" --defaults "$work/defaults"
echo scsipub.iqn=iqn.2001-04.com.example:disk >"$work/defaults"
t "portal from DHCP that is no server's name" 0 "^url_1=''$" \
    "$boot" words --cmdline /dev/null --defaults "$work/defaults" --tftp server/x
t "plan that cannot be written is no success" 1 '^lunstick-boot: the output: No space' \
    sh -c "'$boot' words --cmdline /dev/null --defaults /dev/null >/dev/full"

# ---- what needs root ----
if [ "$(id -u)" -eq 0 ]; then
    t "secret file of another user (probe)" 2 "secret file $work/private: Permission denied" \
        setpriv --reuid 65534 --regid 65534 --clear-groups "$cli" probe --secret-file "$work/private" "$user_url"
    chown 65534 "$work/private"
    t "secret file that belongs to another user (probe)" 2 'belongs to another user' \
        "$cli" probe --secret-file "$work/private" "$user_url"
    chown 0 "$work/private"
    t "daemon without root" 2 '^lunstickd: .*root' \
        setpriv --reuid 65534 --regid 65534 --clear-groups "$daemon" "$url"
    t "cleanup without root" 2 '^lunstick cleanup: only root' \
        setpriv --reuid 65534 --regid 65534 --clear-groups "$cli" cleanup
    t "cleanup with nothing to do" 0 '^Nothing of no-such-one was left' "$cli" cleanup no-such-one
    t "secret file that others may read" 2 "chmod 600 $work/open" \
        "$daemon" --name cli-t --secret-file "$work/open" "$user_url"
    t "missing secret file" 2 "secret file $work/none: No such file" \
        "$daemon" --name cli-t --secret-file "$work/none" "$user_url"
    if [ -n "$(ls /sys/class/udc 2>/dev/null)" ]; then
        echo "skip no UDC: this machine has one"
    else
        t "no UDC" 1 '(no UDC|no USB device controller|usb_gadget).*(dtoverlay|modprobe)' \
            "$daemon" --name cli-t --scheme configfs-templates/disk.scheme "$url"
    fi
    if [ -e /run/lunstick/cli-t ]; then
        echo "FAIL nothing is left behind: /run/lunstick/cli-t"
        failed=1
    else
        echo "ok nothing is left behind"
    fi
else
    for name in "secret file of another user" "daemon without root" "cleanup" "no UDC"; do
        echo "skip $name: needs root"
    done
fi
exit "$failed"
