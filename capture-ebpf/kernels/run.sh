#!/usr/bin/env bash
# Boots other kernels in QEMU and runs the live tests there.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: capture-ebpf/kernels/run.sh [options] [KERNEL...]

Boots each KERNEL (default: 6.1 6.12) in QEMU, without any hardware acceleration, and runs the tests there that record the
running kernel. Fails unless all of them pass on all kernels. On a kernel that is too old, it fails unless `netflow record`
says so. What is run is what `cargo test --workspace --test live` builds.

  -l, --list          the kernels that are known, see the file `kernels`
  -f, --filter TEXT   only the tests whose names contain TEXT
  -s, --short         without the tests that the file `slow` names
  -j, --jobs N        so many kernels at a time; as many as there are processors when not given
  -u, --update        look for newer packages of the kernels, rather than take those in the cache
  -h, --help          this text

Works on Debian and Ubuntu, x86-64. Root is needed only to install what is missing of QEMU, cpio and the like. Kernels
are unpacked, never installed. Packages and logs are kept in ${NETFLOW_CI_CACHE:-~/.cache/netflow-ci}/kernels.
TEXT
}

here=$(cd "$(dirname "$0")" && pwd -P)
repository=$(cd "$here/../.." && pwd -P)
cache=${NETFLOW_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netflow-ci}/kernels
# Emulation is some ten times slower than the machine; what takes longer than this hangs.
time_limit=2700
# The commands of these packages are in the emulated machine, with the libraries that they need: a small host, and what tests
# call. A test that calls another one needs its package here, and nothing else.
guest_packages=(dash coreutils grep sed util-linux mount kmod procps iproute2 netbase libcap2-bin nftables conntrack dnsmasq-base)
# What it takes to unpack kernels and to emulate.
host_packages=(qemu-system-x86 cpio xz-utils zstd binutils debian-archive-keyring)

say() { echo "kernels/run.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# The options that leave out the tests that a file names.
skip() { sed -n 's/^\([a-z_]*\) .*/--skip=\1/p' "$here/$1"; }

mapfile -t skips < <(skip native)
jobs=$(nproc) filter='' update=false kernels=()
while (($#)); do
    case $1 in
        -l | --list) grep -v '^#' "$here/kernels"; exit ;;
        -f | --filter) filter=${2-}; shift ;;
        -s | --short) mapfile -t -O "${#skips[@]}" skips < <(skip slow) ;;
        -j | --jobs) jobs=${2-}; shift ;;
        -u | --update) update=true ;;
        -h | --help) usage; exit ;;
        -*) usage >&2; exit 2 ;;
        *) kernels+=("$1") ;;
    esac
    shift
done
command -v apt-get >/dev/null || fail "no apt-get here: this works on Debian and Ubuntu"
((${#kernels[@]})) || kernels=(6.1 6.12)
[[ $jobs =~ ^[1-9][0-9]*$ ]] || fail "--jobs takes a number from 1, not \"$jobs\""
for kernel in "${kernels[@]}"; do
    grep -q "^$kernel " "$here/kernels" || fail "no kernel $kernel; there are: $(grep -v '^#' "$here/kernels" | cut -d' ' -f1 | xargs)"
done

install_tools() {
    local missing=()
    mapfile -t missing < <(for package in "${host_packages[@]}" "${guest_packages[@]}"; do
        dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || echo "$package"
    done)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Copies files of this host, whose names it reads, and the libraries that they are linked with into the tree $1.
copy_from_host() {
    local files
    files=$(cat)
    { echo "$files" && xargs ldd <<<"$files" 2>/dev/null | grep -o '[[:space:]]/[^ :]*' || true; } |
        sed 's|^[[:space:]]*/||' | sort -u | tar -C / -c --dereference -T - | tar -C "$1" -x
}

# Makes an archive that the kernel unpacks at boot, from the tree $1.
archive() {
    (cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --quiet)
}

# Everything but the kernel's own: what a small host has, the tests, and the program that they test.
make_payload() {
    local tree=$work/payload artifacts package folder
    artifacts=$(cd "$repository" && cargo test --workspace --test live --no-run --locked --quiet --message-format=json |
        sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"kind":\["\([a-z]*\)"\].*"executable":"\([^"]*\)".*/\2 \1 \3/p')
    grep -q '^test ' <<<"$artifacts" || fail "cargo built no test named live"
    mkdir -p "$tree"/{dev,etc,proc,sys,tmp,run,var/lib/misc,root}
    ln -s /run "$tree/var/run"
    for folder in bin sbin lib lib64; do
        if [[ -L /$folder ]]; then
            mkdir -p "$tree/usr/$folder"
            ln -s "usr/$folder" "$tree/$folder"
        fi
    done
    dpkg -L "${guest_packages[@]}" | grep -E '^(/usr)?/s?bin/.|^/etc/(protocols|services)$' | copy_from_host "$tree"
    printf '%s\n' root:x:0:0::/root:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$tree/etc/passwd"
    printf '%s\n' root:x:0: nogroup:x:65534: >"$tree/etc/group"
    cut -d' ' -f3 <<<"$artifacts" | copy_from_host "$tree"
    cut -d' ' -f3 <<<"$artifacts" | sed "s|^|$tree|" | xargs strip
    # Where the tests were built, they look for files of the repository.
    mkdir -p "$tree$repository"
    (cd "$repository" && git ls-files -z fixtures | xargs -0 cp --parents -t "$tree$repository")
    install "$here/init" "$tree/init"
    sed -n 's/^test //p' <<<"$artifacts" >"$tree/tests"
    sed -n 's/^bin [^ ]* //p' <<<"$artifacts" >"$tree/netflow"
    echo "$filter ${skips[*]}" >"$tree/filter"
    archive "$tree" >"$work/payload.cpio"
}

# Boots the kernel $1 and prints what it says; the verdict is the exit status. It is taken from a line of the console with a
# word that nobody else in there knows: QEMU's exit status is 0 also when the kernel dies, and when it does not boot.
boot() {
    local kernel=$1 expects=$2 folder=$cache/$1 log=$cache/log/$1.log began=$SECONDS status=0 khz word passed
    word=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
    mkdir -p "$work/$kernel/etc"
    echo "$expects" >"$work/$kernel/etc/expects"
    echo "$word" >"$work/$kernel/etc/verdict"
    (cat "$work/payload.cpio" "$folder/modules.cpio" && archive "$work/$kernel") >"$work/$kernel.cpio"
    # Without being told how fast the processor's clock ticks, an emulated kernel measures it, and at times wrongly.
    khz=$({ dmesg 2>/dev/null || true; } | sed -n 's/.*tsc: [DR].* \([0-9]*\)\.\([0-9]\{3\}\) MHz.*/\1\2/p' | tail -1)
    [[ $khz ]] || khz=$(sed -n 's/^cpu MHz.*: \([0-9]*\)\.\([0-9]\{3\}\)$/\1\2/p' /proc/cpuinfo | head -1)
    # One processor: with two, some boots hang.
    timeout "$time_limit" qemu-system-x86_64 -M q35 -accel tcg -cpu max,la57=off -smp 1 -m 1G -nodefaults -no-user-config \
        -display none -no-reboot -serial stdio \
        -kernel "$folder/vmlinuz" -initrd "$work/$kernel.cpio" \
        -append "console=ttyS0 panic=-1 loglevel=4 ${khz:+tsc_early_khz=$khz}" </dev/null 2>&1 |
        sed -u 's,\r$,,' | tee "$log" | sed -u -n '/^netflow-vm: begin/,$p' |
        while read -r line; do printf '%s | %4s s | %s\n' "$kernel" $((SECONDS - began)) "$line"; done || status=${PIPESTATUS[0]}
    rm "$work/$kernel.cpio"
    passed=$(grep -Ec '^test .* \.\.\. +ok( |$)' "$log" || true)
    # A filter that no test passes is no success.
    if grep -q "$word all as expected" "$log" && [[ $expects == refuses || $passed != 0 ]]; then
        echo "$kernel | passed: $(cat "$folder/release") $expects, $passed tests, $((SECONDS - began)) s"
        return 0
    fi
    echo "$kernel | FAILED after $((SECONDS - began)) s, $passed tests passed; QEMU ended with $status; all that was said is in $log"
    return 1
}

install_tools
mkdir -p "$cache/log"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for kernel in "${kernels[@]}"; do
    if $update || ! [[ -e $cache/$kernel/release ]]; then
        "$here/fetch.sh" $(grep "^$kernel " "$here/kernels") "$cache"
    fi
done
make_payload
failed=0
running=0
for kernel in "${kernels[@]}"; do
    if ((running == jobs)); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    boot "$kernel" "$(sed -n "s/^$kernel  *\([a-z]*\) .*/\1/p" "$here/kernels")" &
    running=$((running + 1))
done
for ((; running > 0; running--)); do
    wait -n || failed=1
done
exit $failed
