# The Go programs: each is a folder under go/ with a go.mod and go.sum of its own, so its dependencies are pinned and
# do not meet those of another. Built once into the cache, again only when a pin or a flag changes.
# shellcheck shell=bash

# What `go build` is given for each program; a folder without an entry is a main package itself.
declare -A GO_PACKAGES=(
  [kind]=sigs.k8s.io/kind
  [versitygw]=github.com/versity/versitygw/cmd/versitygw
  [helm]=helm.sh/helm/v4/cmd/helm
  [etcd]=go.etcd.io/etcd/server/v3
  [coredns]=github.com/coredns/coredns
  [local-path-provisioner]=github.com/rancher/local-path-provisioner
)

# go_tool NAME: builds go/NAME into $BIN_DIR/NAME.
go_tool() {
  local name=$1 source="$CLUSTER_DIR/go/$1" stamp="$BIN_DIR/.$1.stamp" print
  print=$(go_tool_fingerprint "$name")
  [[ -x $BIN_DIR/$name && $(cat "$stamp" 2>/dev/null) == "$print" ]] && return
  need_go "$source/go.mod"
  step "building $name from its Go module" go_build "$name" "$source"
  echo "$print" >"$stamp"
}

# The names in the hash are relative to the folder: a checkout elsewhere finds the same programs built.
go_tool_fingerprint() {
  (cd "$CLUSTER_DIR/go/$1" && fingerprint ./*) | cat - <(echo "$KUBERNETES_VERSION") | sha256sum | cut -c1-12
}

go_build() {
  local name=$1 source=$2
  CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -C "$source" -trimpath -buildvcs=false \
    -ldflags "-s -w $(go_version_flags "$name")" -o "$BIN_DIR/$name" "${GO_PACKAGES[$name]:-.}"
}

# A Kubernetes program learns its own version from the linker alone, and kubeadm refuses to work without it.
go_version_flags() {
  [[ $1 == kubernetes ]] || return 0
  local major=${KUBERNETES_VERSION#v} minor
  minor=${major#*.} major=${major%%.*} minor=${minor%%.*}
  printf -- '-X k8s.io/component-base/version.%s ' \
    "gitVersion=$KUBERNETES_VERSION" "gitMajor=$major" "gitMinor=$minor" gitTreeState=clean "gitCommit=$KUBERNETES_VERSION"
}

# need_go GO_MOD: Debian's own Go is too old for today's modules, so this can only be asked for.
need_go() {
  local wanted found
  wanted=$(sed -n 's/^go //p' "$1")
  have go || die "Go $wanted or newer is needed to build the cluster's programs: install it (https://go.dev/doc/install) and put it on PATH"
  found=$(go env GOVERSION)
  [[ $(printf '%s\n' "$wanted" "${found#go}" | sort -V | head -n1) == "$wanted" ]] || \
    die "Go $wanted or newer is needed, found ${found#go}: install a newer one (https://go.dev/doc/install)"
}

# need_kubectl: the machine's own, else the one in the Kubernetes binary, which goes by the name that it is called by.
need_kubectl() {
  have kubectl && return
  go_tool kubernetes
  ln -sf kubernetes "$BIN_DIR/kubectl"
}
