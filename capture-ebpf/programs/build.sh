#!/bin/sh
# Builds the eBPF object that netflow embeds: capture-ebpf/object/netflow.bpf.o and its checksum.
#
#   build.sh          build and replace the committed object
#   build.sh --check  build in a temporary directory and fail unless the result is the committed object, byte for byte
#
# What is missing of the toolchain is installed, which needs root and Debian: rustc 1.96 with the sources of `core`
# (rustc-web, rust-web-src, cargo-web), LLVM 22 (llvm-22-dev) and bpf-linker 0.13.0 (cargo install, about 3 minutes).
# Only who changes the programs needs this; everybody else builds with the committed object.
#
# The same sources give the same bytes on every machine: versions are fixed, the lock file is kept, paths are replaced
# by fixed words. Debug sections are stripped; .BTF and .BTF.ext stay, the loader and the verifier read them.
set -eu

programs=$(cd "$(dirname "$0")" && pwd -P)
capture=$(dirname "$programs")
object=$capture/object/netflow.bpf.o
cargo_home=${CARGO_HOME:-$HOME/.cargo}
llvm=/usr/lib/llvm-22
rust=1.96.0
linker_version=0.13.0

say() { echo "build.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

check=false
case ${1-} in
    '') ;;
    --check) check=true ;;
    *) fail "usage: build.sh [--check]" ;;
esac

install_toolchain() {
    if ! [ -x /usr/bin/rustc ] || ! [ -x /usr/bin/cargo ] || ! [ -d /usr/lib/rustlib/src/rust/library/core ] \
        || ! [ -x $llvm/bin/llvm-objcopy ] || ! [ -e $llvm/include/llvm-c/Core.h ]; then
        say "installing rustc-web, rust-web-src, cargo-web, llvm-22-dev"
        command -v apt-get >/dev/null || fail "no apt-get here: install Rust $rust with its sources and LLVM 22 by hand"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            rustc-web rust-web-src cargo-web llvm-22 llvm-22-dev libpolly-22-dev zlib1g-dev libzstd-dev >/dev/null
    fi
    linker=$cargo_home/bin/bpf-linker
    if ! [ -x "$linker" ]; then linker=$(command -v bpf-linker || echo "$linker"); fi
    if ! "$linker" --version 2>/dev/null | grep -q " $linker_version"; then
        say "installing bpf-linker $linker_version"
        LLVM_PREFIX=$llvm CARGO_TARGET_DIR= cargo install bpf-linker --version $linker_version --locked \
            --no-default-features --features llvm-22 --quiet
        linker=$cargo_home/bin/bpf-linker
    fi
    /usr/bin/rustc --version | grep -q "^rustc $rust " \
        || fail "/usr/bin/rustc is $(/usr/bin/rustc --version), the object is built with $rust: other bytes would come out"
}

# Builds into the directory $1 and leaves netflow.bpf.o there.
build() {
    (
        cd "$programs"
        # Whatever the caller's environment says about flags and tools must not reach the object.
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_RUSTFLAGS \
            CARGO_INCREMENTAL CARGO_PROFILE_RELEASE_DEBUG CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_OPT_LEVEL
        CARGO_TARGET_DIR=$1/target
        CARGO_HOME=$cargo_home
        RUSTC=/usr/bin/rustc
        # build-std is for nightly compilers, and this says that we know.
        RUSTC_BOOTSTRAP=1
        CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER=$linker
        CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS="-Cdebuginfo=2 -Clink-arg=--btf -Ctarget-cpu=v3 \
            --remap-path-prefix=$capture=/netflow --remap-path-prefix=$cargo_home=/cargo \
            --remap-path-prefix=$1/target=/target --remap-path-prefix=/usr/lib/rustlib/src/rust=/rust"
        # The bindings of the kernel's headers that are compiled in; those used here are the same for every machine.
        AYA_BPF_TARGET_ARCH=x86_64
        export CARGO_TARGET_DIR CARGO_HOME RUSTC RUSTC_BOOTSTRAP CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER \
            CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS AYA_BPF_TARGET_ARCH
        /usr/bin/cargo build --quiet --release --locked -Z build-std=core --target bpfel-unknown-none
    )
    # The names of functions have a number in them that comes from the path of the sources.
    built=$1/target/bpfel-unknown-none/release/netflow
    $llvm/bin/llvm-nm --format=just-symbols "$built" |
        sed -n 's/^\(.*\)Cs[0-9A-Za-z]*_\(7netflow.*\)$/& \1C\2/p' >"$1/names"
    $llvm/bin/llvm-objcopy --strip-debug --redefine-syms="$1/names" "$built" "$1/netflow.bpf.o"
}

install_toolchain
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
build "$work"
if $check; then
    (cd "$capture/object" && sha256sum --check --quiet netflow.bpf.o.sha256) \
        || fail "$object is not what its checksum names"
    cmp "$work/netflow.bpf.o" "$object" \
        || fail "the sources do not give the committed object: run capture-ebpf/programs/build.sh and commit the result"
    say "the committed object is what the sources give"
else
    mkdir -p "$capture/object"
    cp "$work/netflow.bpf.o" "$object"
    (cd "$capture/object" && sha256sum netflow.bpf.o >netflow.bpf.o.sha256)
    say "wrote $object"
fi
