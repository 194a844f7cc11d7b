#!/usr/bin/env bash
# Downloads a kernel's packages with apt, from lists of its own, and unpacks what is needed to boot it. Installs nothing.
#
#   fetch.sh NAME EXPECTS PACKAGE ADDRESS SUITE COMPONENT CACHE     (run.sh calls it, with a line of the file `kernels`)
#
# In: the package that depends on the newest kernel. Out, in CACHE/NAME: vmlinuz, modules.cpio and release, the last one
# written last.
set -euo pipefail

name=$1 package=$3 address=$4 suite=$5 component=$6 folder=$7/$1
PATH=$PATH:/sbin:/usr/sbin
# What the tests could make the kernel ask for; without drivers.
wanted='kernel/(net|lib|crypto|arch/x86/crypto)/|kernel/drivers/net/(veth|dummy)\.ko'
unwanted='kernel/net/(bluetooth|mac80211|wireless|can|ceph|9p|rxrpc|sunrpc|tipc|batman-adv|openvswitch|nfc|ieee802154|mac802154)/'

say() { echo "kernels/fetch.sh: $*" >&2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,deb,tree,modules}
case $address in
    *ubuntu*) keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *) keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
esac
[[ -e $keyring ]] || { say "$keyring is missing, so that packages from $address cannot be trusted; take it from its distribution"; exit 1; }
echo "deb [arch=amd64 target=Packages signed-by=$keyring] $address $suite $component" >"$work/sources.list"
cat >"$work/apt.conf" <<TEXT
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/lists";
Dir::Cache "$work/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
APT::Update::Post-Invoke-Success "";
#clear APT::Update::Post-Invoke-Success;
TEXT
export APT_CONFIG=$work/apt.conf

# All packages of the kernel that a package leads to: some kernels come in one, some in three that need each other.
declare -A seen=()
packages() {
    local found
    for found in $(apt-cache depends "$1" | sed -nE 's/^ *\|?Depends: (linux-(image|binary|modules)-[0-9][^ ]*)$/\1/p'); do
        [[ ! ${seen[$found]-} ]] || continue
        seen[$found]=1
        echo "$found"
        packages "$found"
    done
}

apt-get update -qq
mapfile -t packages < <(packages "$package" | sort -u)
((${#packages[@]})) || { say "$package in $address $suite leads to no kernel"; exit 1; }
(cd "$work/deb" && apt-get download -qq "${packages[@]}")
for deb in "$work"/deb/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" --exclude='*/share/*'
done
vmlinuz=$(find "$work/tree" -name 'vmlinuz*' -type f | head -1)
release=$(basename "$(dirname "$(find "$work/tree" -path '*/modules/*/kernel' -type d | head -1)")")
[[ $vmlinuz && $release ]] || { say "no kernel or no modules in ${packages[*]}"; exit 1; }
source=$(dirname "$(find "$work/tree" -path '*/modules/*/kernel' -type d | head -1)")
target=$work/modules/lib/modules/$release
mkdir -p "$target"
(cd "$source" && find kernel -type f | grep -E "$wanted" | grep -vE "$unwanted" | xargs cp --parents -t "$target" &&
    cp modules.builtin modules.order "$target" 2>/dev/null || true)
find "$target" -name '*.ko.xz' -exec xz -d {} +
find "$target" -name '*.ko.zst' -exec zstd -q -d --rm {} +
depmod -b "$work/modules" "$release"
mkdir -p "$folder"
rm -f "$folder/release"
cp "$vmlinuz" "$folder/vmlinuz"
(cd "$work/modules" && find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --quiet) >"$folder/modules.cpio"
echo "$release" >"$folder/release"
say "$name is $release"
