# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# A network manager of the image that takes the interface down takes root with it.
# Each of them is told, in /run or by a file over its own, to leave $net alone; the
# image itself is not written to.

guard_network() {
    interfaces_used=$net
    [ "$net" = "$link" ] || interfaces_used="$net $link"
    for name in $interfaces_used; do
        guard_name "$name"
        guard_networkmanager "$name"
        guard_networkd "$name"
        guard_ifupdown "$name"
    done
    guard_dhcpcd
    guard_resolver
}

# A file for it that has no policy: since Linux 6.2 the image's udev could rename it
# while it is up, and all that is said of it below would be of nobody.
guard_name() {
    mkdir -p "$top/run/systemd/network"
    printf '[Match]\nOriginalName=%s\n[Link]\n' "$1" >"$top/run/systemd/network/00-lunstick-$1.link"
}

guard_networkmanager() {
    mkdir -p "$top/run/NetworkManager/conf.d"
    cat >"$top/run/NetworkManager/conf.d/lunstick-$1.conf" <<END
[device-lunstick-$1]
match-device=interface-name:$1
managed=0
END
}

# Of all files that match the first by name is the one that counts. The kernel no
# longer hears routers: where they gave the address, networkd goes on renewing it.
guard_networkd() {
    link_local=no routers=no
    if (net=$1 && have_ipv6); then
        link_local=ipv6
        [ "$ip_method" = static ] || routers=yes
    fi
    {
        cat <<END
[Match]
Name=$1
[Network]
KeepConfiguration=yes
DHCP=no
LinkLocalAddressing=$link_local
IPv6AcceptRA=$routers
END
        for server in $ip_dns $(kept dns); do echo "DNS=$server"; done
        printf '[IPv6AcceptRA]\nDHCPv6Client=no\n'
    } >"$top/run/systemd/network/00-lunstick-$1.network"
}

# It is configured already, and is not taken down at the end.
guard_ifupdown() {
    mkdir -p "$top/run/network"
    echo "$1=$1" | tee -a "$top/run/network/ifstate" >>"$top/run/ifstate"
    echo "$1" >"$top/run/network/ifstate.$1"
    for unit in networking.service "ifup@$1.service"; do
        mkdir -p "$top/run/systemd/system/$unit.d"
        printf '[Service]\nExecStop=\n' >"$top/run/systemd/system/$unit.d/lunstick.conf"
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
    file=$top/sysroot/etc/resolv.conf
    [ -s "$top/etc/resolv.conf" ] && [ -f "$file" ] && [ ! -L "$file" ] || return 0
    cp "$top/etc/resolv.conf" "$top/run/lunstick/resolv.conf"
    mount --bind "$top/run/lunstick/resolv.conf" "$file"
}
