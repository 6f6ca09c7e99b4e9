# The node's file system: a minimal Debian with systemd and containerd, laid out as kind's own base image is.
# shellcheck shell=bash

ROOTFS_PACKAGES=(
  # the node itself
  systemd kmod mount util-linux procps bash curl jq ca-certificates
  # what kubelet and kube-proxy call
  conntrack iptables nftables iproute2 ethtool e2fsprogs
  # containers and their network
  containerd runc containernetworking-plugins libseccomp2
)

rootfs_debian() {
  local mirror codename packages
  # The mirror and the release of this machine: whatever it can reach, the node can be made from.
  # shellcheck disable=SC2016  # apt's own placeholders
  read -r mirror codename < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
    'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | grep -vE -- '-(updates|security|backports)' | head -n1)
  [[ -n ${codename:-} ]] || die "apt knows no Debian mirror: run 'apt-get update' and look at /etc/apt/sources.list"
  packages=$(IFS=,; echo "${ROOTFS_PACKAGES[*]}")
  debootstrap --variant=minbase --include="$packages" "$codename" "$1" "$mirror"
  chroot "$1" apt-get clean
  rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,locale}
}

rootfs_kind() {
  local root=$1 kind=$2
  rootfs_kind_files "$root" "$kind/images/base/files"
  chroot "$root" bash -euo pipefail -s <<<"$(declare -f rootfs_services); rootfs_services"
  rootfs_unprivileged "$root"
  rootfs_kubernetes "$root"
  rootfs_network "$root/etc/cni/net.d"
}

rootfs_kind_files() {
  local root=$1 files=$2 folder
  install -m 755 -Dt "$root/usr/local/bin" "$files"/usr/local/bin/*
  install -m 755 -Dt "$root/kind/bin" "$files"/kind/bin/*
  (cd "$files" && find etc -type f) | while read -r folder; do
    install -m 644 -D "$files/$folder" "$root/$folder"
  done
}

# Runs inside the new system: only what a node needs is started in it.
rootfs_services() {
  rm -f /lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* /etc/systemd/system/*.wants/* \
    /lib/systemd/system/sockets.target.wants/*{udev,initctl}* \
    /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
  # The kernel's messages are those of the whole machine.
  echo ReadKMsg=no >>/etc/systemd/journald.conf
  ln -sf /usr/lib/systemd/systemd /sbin/init
  systemctl -q enable kubelet containerd undo-mount-hacks
  # It would register binary formats with the machine's kernel.
  systemctl -q mask systemd-binfmt
  mkdir -p /etc/kubernetes/manifests /opt/cni/bin
  cp /usr/lib/cni/* /opt/cni/bin/
  # kind's files name these where its own builds of them are.
  ln -sf /usr/bin/{containerd,ctr,containerd-shim-runc-v2} /usr/local/bin/
  ln -sf /usr/sbin/runc /usr/local/sbin/runc
  ctr oci spec |
    jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
      >/etc/containerd/cri-base.json
}

# Raised limits and negative out-of-memory scores need CAP_SYS_RESOURCE, which the machine may withhold.
rootfs_unprivileged() {
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$1/etc/containerd/config.toml"
  sed -i '/^OOMScoreAdjust=/d; /^Limit/d' "$1/etc/systemd/system/containerd.service"
}

rootfs_kubernetes() {
  local root=$1 program
  install -m 755 "$BIN_DIR/kubernetes" "$root/usr/bin/kubernetes"
  for program in kubelet kubeadm kubectl; do ln -sf kubernetes "$root/usr/bin/$program"; done
  mkdir -p "$root/kind/manifests"
  echo "$KUBERNETES_VERSION" >"$root/kind/version"
}

rootfs_network() {
  mkdir -p "$1"
  cat >"$1/10-bridge.conflist" <<'JSON'
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
}
