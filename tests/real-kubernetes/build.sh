#!/usr/bin/env bash
# Builds a real Kubernetes control plane out of Debian's packages, for the tests that compare with it.
#
#   tests/real-kubernetes/build.sh [PROGRAM...]   kube-apiserver and kube-controller-manager, or those named
#
# The programs and etcd go to ${XDG_CACHE_HOME:-~/.cache}/seaway/real-kubernetes/VERSION; what is there is
# not built again. Everything comes from Debian bookworm: the `kubernetes` source package (the last one that
# holds an API server), Go 1.19 and etcd. It takes some eight minutes, 4 GB of disk while it runs, 1.4 GB of
# memory, and needs no root: packages are unpacked, not installed.
set -euo pipefail

version=1.20.2
commit=faecb196815e248d3ecfb03c680a4507229c2a56
release=bookworm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/seaway/real-kubernetes/$version
jobs=${JOBS:-2}

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(kube-apiserver kube-controller-manager)
missing=()
for program in "${wanted[@]}"; do
    [ -x "$cache/$program" ] || missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ] && [ -x "$cache/etcd" ]; then
    exit 0
fi

for tool in apt-get dpkg-deb dpkg-source python3; do
    command -v "$tool" >/dev/null || {
        echo "a real Kubernetes cannot be built here: $tool is missing (Debian packages: apt, dpkg-dev, python3)" >&2
        exit 1
    }
done

# One build at a time, and nothing is left of one that failed.
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
work=$(mktemp -d "$cache/.work.XXXXXX")
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT

# The mirror that this machine uses, for the lists and sources of the one release; apt's own state stays as it is.
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
mirror=${mirror%% *}
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt: the packages cannot be fetched" >&2; exit 1; }
mkdir -p "$work"/apt/{lists,cache}/partial "$work"/apt/cache/archives/partial "$work"/{debs,root,bin}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
for kind in deb deb-src; do
    echo "$kind [signed-by=$keyring] $mirror $release main"
done >"$work/apt/sources.list"
apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root)
echo "== packages from $mirror"
"${apt[@]}" update
(cd "$work/debs" && "${apt[@]}" download etcd-server golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev)
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done
install -m 755 "$work/root/usr/bin/etcd" "$cache/etcd.new" && mv "$cache/etcd.new" "$cache/etcd"
[ ${#missing[@]} -gt 0 ] || exit 0

source=$work/gopath/src/k8s.io/kubernetes
mkdir -p "$(dirname "$source")"
(cd "$work" && "${apt[@]}" source --download-only kubernetes)
dpkg-source -x --no-check "$work"/kubernetes_*.dsc "$source" >/dev/null

export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/gocache
export PATH=$GOROOT/bin:$PATH GO111MODULE=off GOFLAGS='' GOPROXY=off GOSUMDB=off CGO_ENABLED=0 GOTOOLCHAIN=local
cd "$source"

echo "== sources"
# The vendored reflect2 1.0.1 crashes under Go 1.18 and later as soon as there is a custom resource.
rm -rf vendor/github.com/modern-go/reflect2
cp -rL "$work/root/usr/share/gocode/src/github.com/modern-go/reflect2" vendor/github.com/modern-go/
# Server-side apply of a Service's port without a protocol failed until its default was declared (#98576).
python3 - <<'PYTHON'
path = "staging/src/k8s.io/api/core/v1/types.go"
text = open(path).read()
before = "\t// Default is TCP.\n\t// +optional\n\tProtocol Protocol `json:\"protocol,omitempty\" protobuf:\"bytes,2,"
assert text.count(before) == 1, "the declaration of a Service's port has moved"
after = before.replace("// +optional\n", "// +default=\"TCP\"\n\t// +optional\n")
open(path, "w").write(text.replace(before, after))
PYTHON
# The one generated file that the tree leaves out.
nice go build -p "$jobs" -o "$work/bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages=$(grep -RlE --include='*.go' '^// \+k8s:openapi-gen=' cmd pkg plugin vendor/k8s.io |
    grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|gengo|kube-openapi)/|/testdata/|/_examples/' |
    xargs -n1 dirname | LC_ALL=C sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
"$work/bin/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations.report"

flags="-s -w"
for package in k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version k8s.io/kubernetes/vendor/k8s.io/component-base/version; do
    flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=20"
    flags="$flags -X $package.gitCommit=$commit -X $package.gitTreeState=archive -X $package.buildDate=2021-01-13T13:20:00Z"
done
for program in "${missing[@]}"; do
    started=$SECONDS
    echo "== $program"
    nice go build -p "$jobs" -ldflags "$flags" -o "$work/bin/$program" "./cmd/$program"
    mv "$work/bin/$program" "$cache/$program"
    echo "== $program: $((SECONDS - started)) s"
done
