# Sourced: Debian roots to install into, in folders, with packages from where this machine has its own. Needs root.
#
#   enter_namespace "$0" "$@"      # once, at the start: mounts and processes of this script end with it
#   make_root DIR                  # a minimal root, apt ready
#   inside DIR COMMAND...          # runs in it
#   drop_root DIR
#
# The minimal root is made once and kept as build/roots/SUITE.tar.
root_suite=bookworm
root_cache=build/roots

enter_namespace() {
  [ "${SLUICE_NAMESPACE:-}" = yes ] && return
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo --preserve-env=http_proxy,https_proxy,no_proxy)
  exec "${as_root[@]}" env SLUICE_NAMESPACE=yes unshare --mount --propagation=private --pid --fork --kill-child --mount-proc "$@"
}

# "URI SUITE COMPONENT" of each source of this machine that is of the suite.
machine_sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    awk -v suite="$root_suite" '$3 ~ "^" suite "(-updates|-security)?$" { print $1, $3, $4 }' | sort -u
}

make_base() {
  local tar=$1 work mirror
  mirror=$(machine_sources | awk -v suite="$root_suite" '$2 == suite { print $1; exit }')
  [ -n "$mirror" ] || { echo "This machine has no source of packages of $root_suite" >&2; return 1; }
  work=$(mktemp -d) &&
    debootstrap --variant=minbase "$root_suite" "$work/root" "$mirror" >"$work/log" 2>&1 &&
    rm -f "$work/root/var/cache/apt/archives/"*.deb &&
    mkdir -p "$(dirname "$tar")" && tar -C "$work/root" --one-file-system -cf "$tar.new" . && mv "$tar.new" "$tar"
  local status=$?
  [ $status -eq 0 ] || tail -n 20 "$work/log" >&2
  rm -rf --one-file-system "$work"
  return $status
}

make_root() {
  local root=$1 tar=$root_cache/$root_suite.tar
  [ -s "$tar" ] || make_base "$tar" || return 1
  drop_root "$root"
  mkdir -p "$root" && tar -C "$root" -xf "$tar" || return 1
  machine_sources | sed 's/^/deb /' >"$root/etc/apt/sources.list"
  # How this machine reaches them.
  apt-config dump | grep -E '^Acquire::(http|https|Check|Max|Retries)' >"$root/etc/apt/apt.conf.d/90machine"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
  mount -t proc proc "$root/proc" || return 1
  inside "$root" apt-get update -qq
}

inside() {
  local root=$1
  shift
  chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} "$@"
}

drop_root() {
  mountpoint -q "$1/proc" && umount -l "$1/proc"
  rm -rf --one-file-system "$1"
}
