# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# A network manager of the image that takes the interface down takes root with it.
# Each of them is told, in /run or by a file over its own, to leave $net alone; the
# image itself is not written to.

guard_network() {
    interfaces_used=$net
    [ "$net" = "$link" ] || interfaces_used="$net $link"
    for name in $interfaces_used; do
        guard_networkmanager "$name"
        guard_networkd "$name"
        guard_ifupdown "$name"
    done
    guard_dhcpcd
    guard_resolver
}

guard_networkmanager() {
    mkdir -p /run/NetworkManager/conf.d
    cat >"/run/NetworkManager/conf.d/lunstick-$1.conf" <<END
[device-lunstick-$1]
match-device=interface-name:$1
managed=0
END
}

# Of all files that match the first by name is the one that counts.
guard_networkd() {
    mkdir -p /run/systemd/network
    {
        cat <<END
[Match]
Name=$1
[Network]
KeepConfiguration=yes
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=no
END
        for server in $ip_dns $(kept dns); do echo "DNS=$server"; done
    } >"/run/systemd/network/00-lunstick-$1.network"
}

# It is configured already, and is not taken down at the end.
guard_ifupdown() {
    mkdir -p /run/network
    echo "$1=$1" | tee -a /run/network/ifstate >>/run/ifstate
    echo "$1" >"/run/network/ifstate.$1"
    for unit in networking.service "ifup@$1.service"; do
        mkdir -p "/run/systemd/system/$unit.d"
        printf '[Service]\nExecStop=\n' >"/run/systemd/system/$unit.d/lunstick.conf"
    done
}

# Its first line: behind `interface NAME` it would be of that interface alone.
guard_dhcpcd() {
    [ -f "$top/sysroot/etc/dhcpcd.conf" ] || return 0
    { echo "denyinterfaces $interfaces_used"; cat "$top/sysroot/etc/dhcpcd.conf"; } >"$top/run/lunstick/dhcpcd.conf"
    mount --bind "$top/run/lunstick/dhcpcd.conf" "$top/sysroot/etc/dhcpcd.conf"
}

# Who had his name servers from a manager that now has nothing to do.
guard_resolver() {
    [ -s /etc/resolv.conf ] && [ -f /sysroot/etc/resolv.conf ] && [ ! -L /sysroot/etc/resolv.conf ] || return 0
    cp /etc/resolv.conf /run/lunstick/resolv.conf
    mount --bind /run/lunstick/resolv.conf /sysroot/etc/resolv.conf
}
