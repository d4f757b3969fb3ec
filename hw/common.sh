#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the project's scripts share: messages, packages, Debian archives.
# To be sourced, by bash, under `set -euo pipefail`:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/common.sh"
#
# Only need_packages changes the machine. Everything else writes below
# $LUNSTICK_CACHE, which may be deleted at any time. What was fetched once is
# not asked for again: a second run needs no network.

# What programs say is read by scripts.
export LC_ALL=C.UTF-8

# `~` is right where HOME is not set
_home=~
LUNSTICK_CACHE="${LUNSTICK_CACHE:-${XDG_CACHE_HOME:-$_home/.cache}/lunstick}"
case $LUNSTICK_CACHE in /*) ;; *) LUNSTICK_CACHE=$PWD/$LUNSTICK_CACHE ;; esac
export LUNSTICK_CACHE

# say MESSAGE...: one line of progress on stderr, with the seconds since start.
say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

# die MESSAGE [FIX [EXIT_CODE]]: what is wrong, what to do about it, and out.
die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    [ -z "${2:-}" ] || printf '  fix: %s\n' "$2" >&2
    exit "${3:-1}"
}

{ mkdir -p "$LUNSTICK_CACHE" && [ -w "$LUNSTICK_CACHE" ]; } 2>/dev/null ||
    die "$LUNSTICK_CACHE, the cache, cannot be written" \
        "LUNSTICK_CACHE=DIRECTORY in the environment names another"

# need_packages PKG...: has the packages installed when it returns. Instant if
# they are; otherwise root is needed. PKG may be NAME:ARCH, also of a foreign
# architecture that dpkg knows.
need_packages() {
    local have pkg missing=() native log="$LUNSTICK_CACHE/need_packages.log"
    local apt=(apt-get -qy -oDPkg::Lock::Timeout=600 -oAcquire::Retries=3)
    native=$(dpkg --print-architecture)
    have=$(dpkg-query -W -f '${Package}:${Architecture} ${db:Status-Status}\n' \
           "$@" 2>>"$log" | sed -n 's/ installed$//p' || true)
    for pkg; do
        case $pkg in *:*) ;; *) pkg=$pkg:$native ;; esac
        grep -qxF -e "$pkg" -e "${pkg%:*}:all" <<<"$have" ||
            missing+=("${pkg%:"$native"}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    [ "$(id -u)" -eq 0 ] ||
        die "these packages are missing: ${missing[*]}" \
            "as root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    (
        flock 9         # scripts may run side by side
        exec </dev/null >"$log" 2>&1
        # 9>&-: a service that is started does not keep the lock
        if ! compgen -G '/var/lib/apt/lists/*_Packages*' ||
           ! "${apt[@]}" install --no-install-recommends "${missing[@]}" 9>&-
        then
            # no package lists, or lists so old that the archive has moved on
            "${apt[@]}" update 9>&- || true
            "${apt[@]}" install --no-install-recommends "${missing[@]}" 9>&-
        fi
    ) 9>"$LUNSTICK_CACHE/need_packages.lock" || {
        grep -E '^[EW]: ' "$log" | tail -n 5 >&2
        die "apt-get cannot install ${missing[*]}" "see $log"
    }
}

# The Debian archive that this machine itself uses, as "URL KEYRING"; KEYRING
# may be empty. Third parties and the security archive do not count.
_debian_archive() {
    local url keyring='' f
    # After an update apt knows who stands behind each archive ...
    # shellcheck disable=SC2016
    url=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' \
              'Created-By: Packages' 2>/dev/null |
          sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1)
    # ... before it, only names can be judged.
    [ -n "$url" ] || url=$(apt-get update --print-uris 2>/dev/null |
        sed -n "s#^'\(.*/\)dists/[a-z]*/InRelease' .*#\1#p" |
        grep -E '/debian/([0-9TZ]+/)?$' | grep -viE 'security|raspberry|raspbian' |
        head -n 1)
    [ -n "$url" ] || die "no Debian archive in this machine's apt sources" \
        "add a main archive entry to /etc/apt/sources.list and run apt-get update"

    for f in /etc/apt/sources.list.d/*.sources; do
        [ ! -e "$f" ] || [ -n "$keyring" ] || keyring=$(awk -v RS= -v url="${url%/}" '
            index($0, url) && match($0, /Signed-By:[ \t]*\/[^ \t\n]+/) {
                s = substr($0, RSTART, RLENGTH); sub(/^[^\/]*/, "", s); print s; exit }' "$f")
    done
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -e "$f" ] || [ -n "$keyring" ] || keyring=$(grep -F "${url%/}" "$f" |
            sed -n 's/^deb.*signed-by=\([^] ]*\).*/\1/p' | head -n 1)
    done
    for f in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [ -n "$keyring" ] || [ ! -r "$f" ] || keyring=$f
    done
    printf '%s %s\n' "$url" "$keyring"
}

# private_apt SUITE ARCH apt-get|apt-cache ARG...: apt on another suite or
# architecture of the machine's own mirror, with lists, cache and an empty
# package database of its own; the machine's configuration is neither read for
# sources nor changed. ARCH `source` is the suite's source packages. A backports
# suite includes the suite below it.
# The lists are fetched at the first use and by `private_apt S A apt-get update`.
private_apt() {
    local suite=$1 arch=$2 tool=$3 root="$LUNSTICK_CACHE/apt/$1-$2" type=deb s
    local archive keyring opts
    shift 3
    opts=(-q -oDir::Etc::SourceList="$root/sources.list" -oDir::Etc::SourceParts=/dev/null
          -oDir::Etc::PreferencesParts=/dev/null -oDir::State="$root" -oDir::State::Lists="$root/lists"
          -oDir::State::Status="$root/status" -oDir::Cache="$root/cache"
          -oAPT::Sandbox::User=root
          -oAPT::Update::Post-Invoke-Success::=true -oAcquire::Languages=none
          -oAcquire::Retries=3)
    if [ "$arch" = source ]; then
        type=deb-src
    else
        opts+=(-oAPT::Architecture="$arch" -oAPT::Architectures="$arch"
               -oAPT::Default-Release="$suite")
    fi
    if [ ! -e "$root/ready" ]; then
        archive=$(_debian_archive) || exit
        keyring=${archive#* } archive=${archive%% *}
        mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
        : >"$root/status"
        for s in "$suite" "${suite%-backports}"; do
            printf '%s [%s] %s %s main\n' "$type" \
                "check-valid-until=no${keyring:+ signed-by=$keyring}" "$archive" "$s"
        done | sort -u >"$root/sources.list"
        say "reading Debian $suite $arch package lists"
        if ! apt-get "${opts[@]}" update >"$root/update.log" 2>&1 ||
           grep -q '^Err:\|^W: Failed' "$root/update.log"
        then
            grep -E '^[EW]: ' "$root/update.log" | tail -n 5 >&2
            die "the package lists of Debian $suite $arch cannot be read" \
                "is the network up, and debian-archive-keyring current? see $root/update.log"
        fi
        : >"$root/ready"
    fi
    "$tool" "${opts[@]}" "$@"
}

# A line per file on stdout, if every file of an earlier request is still there.
_fetched() {
    local f
    [ -s "$1" ] || return 1
    while read -r f; do [ -s "$f" ] || return 1; done <"$1"
    cat "$1"
}

# _fetch HOW SUITE ARCH DIR PKG...: what the next two functions share.
_fetch() {
    local how=$1 suite=$2 arch=$3 dir=$4 list tmp try root
    shift 4
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    list="$dir/.$how-$(printf '%s\n' "$suite" "$arch" "$@" | cksum | tr ' ' -)"
    _fetched "$list" && return
    root="$LUNSTICK_CACHE/apt/$suite-$arch"
    mkdir -p "$root"
    (
        flock 9         # scripts may run side by side
        say "fetching for $suite $arch: $*"
        tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
        trap 'rm -rf "$tmp"' EXIT
        for try in 1 2; do
            # the lists may be older than the archive: once more with new ones
            [ "$try" = 1 ] || rm -f "$root/ready"
            private_apt "$suite" "$arch" true       # has the lists, or dies aloud
            if [ "$how" = alone ]; then
                (cd "$tmp" && private_apt "$suite" "$arch" apt-get download "$@")
            else
                private_apt "$suite" "$arch" apt-get install -y --download-only \
                    --no-install-recommends -oDir::Cache::Archives="$tmp" "$@"
            fi >"$root/fetch.log" 2>&1 && break
            [ "$try" = 1 ] || {
                grep -E '^[EW]: ' "$root/fetch.log" | tail -n 5 >&2
                die "cannot fetch for Debian $suite $arch: $*" "see $root/fetch.log"
            }
        done
        (cd "$tmp" && printf '%s\n' *.deb) | sed "s#^#$dir/#" >"$tmp/list"
        mv -f "$tmp"/*.deb "$dir"
        mv -f "$tmp/list" "$list"
    ) 9>"$root/lock" || exit
    cat "$list"
}

# fetch_debs SUITE ARCH DIR PKG...: has the .deb of each named package in DIR
# and prints their paths, a line each.
fetch_debs() { _fetch alone "$@"; }

# fetch_debs_with_deps SUITE ARCH DIR PKG...: the same with everything that they
# depend on, down to libc.
fetch_debs_with_deps() { _fetch deps "$@"; }

# fetch_source SUITE DIR PKG VERSION SHA256: has the unmodified upstream tarball
# of a source package in DIR and prints its path. VERSION and SHA256 pin it: the
# suite only says where to look.
fetch_source() {
    local suite=$1 dir=$2 pkg=$3 version=$4 sum=$5 f root="$LUNSTICK_CACHE/apt/$1-source"
    local name="${pkg}_$version.orig.tar" try
    mkdir -p "$dir" "$root"
    dir=$(cd "$dir" && pwd)
    for f in "$dir/$name".{gz,xz,bz2}; do
        [ ! -e "$f" ] || ! sha256sum --status -c <<<"$sum  $f" || { echo "$f"; return; }
    done
    (
        flock 9
        say "fetching the source of $pkg $version"
        cd "$dir" || exit
        for try in 1 2; do
            [ "$try" = 1 ] || rm -f "$root/ready"
            private_apt "$suite" source true
            private_apt "$suite" source apt-get source --tar-only --download-only "$pkg" \
                >"$root/fetch.log" 2>&1 && break
            [ "$try" = 1 ] || {
                grep -E '^[EW]: ' "$root/fetch.log" | tail -n 5 >&2
                die "cannot fetch the source of $pkg from Debian $suite" "see $root/fetch.log"
            }
        done
    ) 9>"$root/lock" || exit
    for f in "$dir/$name".{gz,xz,bz2}; do
        [ -e "$f" ] || continue
        sha256sum --status -c <<<"$sum  $f" ||
            die "$f is not the pinned tarball (sha256 $sum)" "delete it and try again"
        echo "$f"
        return
    done
    die "Debian $suite no longer has $pkg $version" \
        "put $name.gz with sha256 $sum into $dir by hand, or pin another version"
}
