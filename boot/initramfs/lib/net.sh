# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# The network: drivers, interface, VLAN, address. Sets $net, the interface that the
# session goes over. What DHCP said is in files below /run/lunstick/lease.

lease=/run/lunstick/lease

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
        ip link set "$link" up
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
    [ ! -e "/sys/class/net/$net" ] || return 0
    modprobe -q 8021q
    ip link add link "$link" name "$net" type vlan id "$vlan" && ip link set "$net" up ||
        fail "VLAN $vlan on $link cannot be made (lunstick.vlan=)"
}

have_ipv4() { ip -4 addr show dev "$net" | grep -q 'inet '; }
have_ipv6() { ip -6 addr show dev "$net" scope global | grep -v tentative | grep -q 'inet6 '; }

resolver() {
    for server; do echo "nameserver $server"; done >/etc/resolv.conf
}

static_address() {
    ip addr add "$ip_client/$ip_prefix" dev "$net" 2>/dev/null
    [ -z "$ip_gateway" ] || ip route replace default via "$ip_gateway" dev "$net" ||
        { fail "the gateway $ip_gateway is not in the network of $ip_client/$ip_prefix (lunstick.ip=)"; return; }
    # shellcheck disable=SC2086
    resolver $ip_dns
    case $ip_client in
    *:*) wait_for "$ip_client is not usable on $net" have_ipv6 ;;
    esac
}

# One round of DHCP; lease.sh keeps what it brings.
dhcp() {
    udhcpc -i "$net" -n -q -f -t 4 -T 1 -S -s /lib/lunstick/lease \
        -O rootpath -O tftp ${ip_hostname:+-x "hostname:$ip_hostname"} >/dev/null 2>&1
}

# Whether what came reaches the portal: an IPv6 literal needs IPv6.
have_address() {
    case $url_1 in
    *://*\[*) have_ipv6 ;;
    *) have_ipv4 || { [ "$ip_method" = any ] && have_ipv6; } ;;
    esac
}

dynamic_address() {
    until have_address; do
        ! attempt_is_over ||
            { fail "no address from DHCP${1:-} on $net (waited $timeout s)"; return; }
        dhcp || usleep 200000
    done
}

network_up() {
    ip link set lo up
    [ "$ip_method" != off ] || { net=${iface:-$(interfaces | head -n 1)}; return 0; }
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

# What the words say together with what DHCP said.
plan_with_lease() {
    tftp=$(kept siaddr)
    [ -n "$tftp" ] || tftp=$(kept tftp)
    root_path=$(kept rootpath)
    lunstick-boot words ${root_path:+--root-path "$root_path"} ${tftp:+--tftp "$tftp"}
}
