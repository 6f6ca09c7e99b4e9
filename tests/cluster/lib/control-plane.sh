# The images that a node starts by itself, each with one program in it, under the very names that kubeadm and kind ask
# for. Their names are left in the file `images` of the work folder.
# shellcheck shell=bash

control_plane_images() {
  local work=$1 kind=$2
  # A pipe's failure would go unseen inside mapfile.
  chroot "$work/rootfs" kubeadm config images list --kubernetes-version "$KUBERNETES_VERSION" >"$work/images"
  kubernetes_image "$work"
  single_program_image "$work" "$(image_called etcd "$work")" /usr/local/bin/etcd "$BIN_DIR/etcd"
  single_program_image "$work" "$(image_called coredns "$work")" /coredns "$BIN_DIR/coredns"
  single_program_image "$work" "$(image_called pause "$work")" /pause "$BIN_DIR/pause"
  sandbox_image "$work"
  storage_images "$work" "$kind"
  network_manifest >"$work/rootfs/kind/manifests/default-cni.yaml"
}

# image_called NAME WORK: the full name that kubeadm gives to the image of a program.
image_called() { grep "/$1:" "$2/images"; }

# single_program_image WORK IMAGE PATH FILE: the image starts the program unless told otherwise.
single_program_image() {
  local root
  root=$(mktemp -d "$1/image.XXXXXX")
  install -m 755 -D "$4" "$root$3"
  docker_import "$root" "$2" "ENTRYPOINT [\"$3\"]" "ENV PATH=$(dirname "$3")"
}

# One image for four programs: kubeadm's manifests name the program to start. kube-proxy sets packet rules, so the
# iptables of the node come along, with the libraries of its extensions: without them a rule fails that uses one.
kubernetes_image() {
  local work=$1 root=$1/kubernetes-image node=$1/rootfs first program file
  install -m 755 -D "$BIN_DIR/kubernetes" "$root/usr/local/bin/kubernetes"
  for program in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    ln -s kubernetes "$root/usr/local/bin/$program"
  done
  mkdir -p "$root/tmp" "$root/usr/sbin"
  iptables_files "$node" | while read -r file; do install -D "$node$file" "$root$file"; done
  for program in ip{,6}tables{,-save,-restore}; do ln -s xtables-nft-multi "$root/usr/sbin/$program"; done
  first=$(image_called kube-apiserver "$work")
  docker_import "$root" "$first" 'ENV PATH=/usr/local/bin:/usr/sbin'
  for program in kube-controller-manager kube-scheduler kube-proxy; do
    docker tag "$first" "$(image_called "$program" "$work")"
  done
}

# iptables_files ROOT: iptables, its extensions, and every library that one of them is linked to.
iptables_files() {
  # shellcheck disable=SC2016  # expanded inside the node's file system
  chroot "$1" bash -euo pipefail -c '
    programs=(/usr/sbin/xtables-nft-multi /usr/lib/*/xtables/*.so)
    printf "%s\n" "${programs[@]}"
    ldd "${programs[@]}" | grep -o "/[^ :]*lib[^ :]*\.so[^ :]*"' | sort -u
}

# containerd has its own idea of which version of the pause image to start sandboxes from.
sandbox_image() {
  local wanted
  wanted=$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$1/rootfs/etc/containerd/config.toml")
  if ! grep -qxF "$wanted" "$1/images"; then
    docker tag "$(image_called pause "$1")" "$wanted"
    echo "$wanted" >>"$1/images"
  fi
}

# The default storage class: kind's manifest and image names stand in its source as Go constants.
storage_images() {
  local work=$1 source=$2/pkg/build/nodeimage/const_storage.go provisioner helper root=$1/storage-helper program
  provisioner=$(sed -n 's/^const storageProvisionerImage = "\(.*\)"/\1/p' "$source")
  helper=$(sed -n 's/^const storageHelperImage = "\(.*\)"/\1/p' "$source")
  [[ -n $provisioner && -n $helper ]] || die "$source no longer names its storage images as expected"
  # shellcheck disable=SC2016  # Go's quotes
  sed -n '/^const defaultStorageManifest = `/,/^`/p' "$source" | sed '1s/.*`//; /^`/d' |
    sed "s#\` + storageProvisionerImage + \`#$provisioner#; s#\` + storageHelperImage + \`#$helper#" \
      >"$work/rootfs/kind/manifests/default-storage.yaml"
  single_program_image "$work" "$provisioner" /usr/local/bin/local-path-provisioner "$BIN_DIR/local-path-provisioner"
  install -m 755 -D "$(command -v busybox)" "$root/bin/busybox"
  for program in sh rm mkdir; do ln -s busybox "$root/bin/$program"; done
  docker_import "$root" "$helper" 'ENV PATH=/bin'
  printf '%s\n' "$provisioner" "$helper" >>"$work/images"
}

# kind applies this file in any case; the bridge that is there already needs nothing from it.
network_manifest() {
  cat <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata:
  name: pod-network
  namespace: kube-system
data:
  plugin: "bridge cni0, laid out in /etc/cni/net.d of the node"
YAML
}
