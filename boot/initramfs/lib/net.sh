# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# The network: drivers, interface, VLAN, address. Sets $net, the interface that the
# session goes over. What DHCP said is in files below /run/lunstick/lease.

lease=$top/run/lunstick/lease
net='' lease_keeper=''

# Drivers of everything that the kernel has found so far.
load_drivers() {
    find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u | xargs modprobe -abq 2>/dev/null
}

# The candidates: $iface, or every Ethernet interface that is a device.
interfaces() {
    for dir in /sys/class/net/*; do
        name=${dir##*/}
        [ -z "$iface" ] || [ "$name" = "$iface" ] || continue
        [ -n "$iface" ] || { [ -e "$dir/device" ] && [ "$(cat "$dir/type")" = 1 ]; } || continue
        [ -e "$dir" ] && echo "$name"
    done
}

# Sets $link to the first interface with a carrier. A driver may take its time, or
# be found only when another one is there.
link_up() {
    for link in $(interfaces); do
        ip link set "$link" up 2>/dev/null # a radio that is switched off says so each time
        [ "$(cat "/sys/class/net/$link/carrier" 2>/dev/null)" != 1 ] || return 0
    done
    link=''
    load_drivers
    return 1
}

no_link() {
    if [ -n "$iface" ] && [ ! -e "/sys/class/net/$iface" ]; then
        echo "there is no network interface $iface (lunstick.iface=); there is: $(interfaces_all)"
    elif [ -z "$(interfaces)" ]; then
        echo "no network interface, or no driver for it in this initramfs"
    else
        echo "no cable, or no link, on $(interfaces | xargs)"
    fi
}

interfaces_all() { (cd /sys/class/net && echo *); }

vlan_up() {
    net=$link
    [ "$vlan" -gt 0 ] || return 0
    net=$link.$vlan
    modprobe -q 8021q
    [ -e "/sys/class/net/$net" ] || ip link add link "$link" name "$net" type vlan id "$vlan"
    ip link set "$net" up || fail "VLAN $vlan on $link cannot be made (lunstick.vlan=)"
}

have_ipv4() { ip -4 addr show dev "$net" | grep -q 'inet '; }
have_ipv6() { ip -6 addr show dev "$net" scope global | grep -v tentative | grep -q 'inet6 '; }

resolver() {
    for server; do echo "nameserver $server"; done >/etc/resolv.conf
}

static_address() {
    ip addr replace "$ip_client/$ip_prefix" dev "$net" ||
        { fail "$net does not take the address $ip_client/$ip_prefix (lunstick.ip=)"; return; }
    [ -z "$ip_gateway" ] || ip route replace default via "$ip_gateway" dev "$net" ||
        { fail "the gateway $ip_gateway is not in the network of $ip_client/$ip_prefix (lunstick.ip=)"; return; }
    # shellcheck disable=SC2086
    resolver $ip_dns
    case $ip_client in
    *:*) wait_for "$ip_client is not usable on $net" have_ipv6 ;;
    esac
}

# One round of DHCP; `lease` keeps what it brings.
dhcp() {
    dhcp_asked=yes
    udhcpc -i "$net" -n -q -f -t 4 -T 1 -S -s /lib/lunstick/lease \
        -O rootpath -O tftp ${ip_hostname:+-x "hostname:$ip_hostname"} >/dev/null 2>&1
}

# Whether what came reaches the portal. A literal needs its own kind, and DHCP is who
# tells a portal that is not known yet; for a name, which it may have servers for,
# either will do.
have_address() {
    host=${url_1#*://}
    host=${host%%/*}
    case ${host##*@} in
    \[*) have_ipv6 ;;
    *[!0-9.:]*) have_ipv4 || { [ -n "$dhcp_asked" ] && [ "$ip_method" = any ] && have_ipv6; } ;;
    *) have_ipv4 ;;
    esac
}

dynamic_address() {
    until have_address; do
        if attempt_is_over; then
            # with the other kind it goes on: who needs the portal says what is wrong
            have_ipv4 || have_ipv6 || fail "no address from DHCP${1:-} on $net (waited $timeout s)"
            return
        fi
        dhcp || usleep 200000
    done
}

# Who keeps the address that DHCP gave, now and in the root that is there then.
keep_lease() {
    [ -n "$1" ] || return 0
    /run/initramfs/bin/busybox udhcpc -i "$net" -r "$1" -f -S \
        -s /run/initramfs/lib/lunstick/lease >/dev/null 2>&1 &
    lease_keeper=$!
}

# Another attempt asks DHCP anew, perhaps on another interface.
forget_lease() {
    [ -z "$lease_keeper" ] || kill "$lease_keeper" 2>/dev/null
    lease_keeper='' dhcp_asked=''
    [ ! -e "$lease/ip" ] || ip -4 addr flush dev "$net"
    rm -rf "$lease"
}

# lunstick.ip=off: the first interface that somebody gave an address.
configured_interface() {
    for name in $(interfaces); do
        net=$name
        ! have_ipv4 && ! have_ipv6 || break
    done
    link=$net
}

network_up() {
    forget_lease
    modprobe -q ipv6
    ip link set lo up
    [ "$ip_method" != off ] || { configured_interface; return 0; }
    until link_up; do
        ! attempt_is_over || { fail "$(no_link) (waited $timeout s)"; return; }
        usleep 200000
    done
    vlan_up || return
    case $ip_method in
    static) static_address ;;
    dhcp) dynamic_address ;;
    any) dynamic_address " or a router" ;;
    esac
}

kept() { cat "$lease/$1" 2>/dev/null; }

# What the words say together with what DHCP said. What is wrong with the words alone
# has been said.
plan_with_lease() {
    tftp=$(kept siaddr)
    [ -n "$tftp" ] || tftp=$(kept tftp)
    root_path=$(kept rootpath)
    eval "$(lunstick-boot words ${root_path:+--root-path "$root_path"} ${tftp:+--tftp "$tftp"} \
        2>"$top/run/lunstick/problems")"
    grep '^DHCP' "$top/run/lunstick/problems" | say_lines
}
