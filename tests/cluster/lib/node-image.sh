# The node image: kind's published one where it can be had, else one made here from package registries alone: Debian
# packages for the system, kind's own files from its Go module, Kubernetes, etcd and CoreDNS built from theirs.
#
# The image made here has one bridge for its pods in place of kind's network plug-in: enough for one node, but it does
# not enforce NetworkPolicy. Kind's published image does.
# shellcheck shell=bash
# shellcheck source=rootfs.sh
source "$CLUSTER_DIR/lib/rootfs.sh"
# shellcheck source=control-plane.sh
source "$CLUSTER_DIR/lib/control-plane.sh"

NODE_PROGRAMS=(kubernetes etcd coredns local-path-provisioner pause)

# node_image: sets NODE_IMAGE to an image that the docker daemon has.
node_image() {
  NODE_IMAGE=$KIND_PUBLISHED_IMAGE
  image_present "$NODE_IMAGE" && return
  # Our own daemon is started where there is no docker; asking it first keeps a warm start off the network.
  local made
  made=exportjob-node:$KUBERNETES_VERSION-$(node_image_fingerprint)
  if image_present "$made"; then
    NODE_IMAGE=$made
    return
  fi
  say "==> fetching kind's node image"
  if timeout 600 docker pull --quiet "$KIND_PUBLISHED_IMAGE" >/dev/null 2>&1; then return; fi
  say "    it cannot be had here: the node image is built from package registries instead (some minutes, once)"
  node_image_build "$made"
  NODE_IMAGE=$made
}

image_present() { docker image inspect "$1" >/dev/null 2>&1; }

# Everything that the image is made of is named in these files.
node_image_fingerprint() {
  {
    local program
    for program in "${NODE_PROGRAMS[@]}" kind; do go_tool_fingerprint "$program"; done
    cat "$CLUSTER_DIR"/lib/{node-image,rootfs,control-plane}.sh
  } | sha256sum | cut -c1-12
}

node_image_build() {
  is_root || die "building a node image takes root (debootstrap): run this as root, or pull $KIND_PUBLISHED_IMAGE by other means"
  [[ -f /etc/debian_version ]] || die "building a node image takes Debian: pull $KIND_PUBLISHED_IMAGE by other means"
  need_packages debootstrap busybox-static jq
  local program work
  for program in "${NODE_PROGRAMS[@]}"; do go_tool "$program"; done
  work=$(mktemp -d "$EXPORTJOB_CACHE/node-image.XXXXXX")
  # shellcheck disable=SC2064  # the folder's name of now is meant
  trap "rm -rf '$work'" EXIT
  step "node image: a Debian system" rootfs_debian "$work/rootfs"
  step "node image: kind's files and Kubernetes" rootfs_kind "$work/rootfs" "$(kind_sources)"
  step "node image: the control plane's images" control_plane_images "$work" "$(kind_sources)"
  step "node image: putting it together" node_image_assemble "$work" "$1"
  rm -rf "$work"
  trap - EXIT
}

# The folder of kind's Go module, which holds the files of its own node image.
kind_sources() { (cd "$CLUSTER_DIR/go/kind" && go mod download && go list -m -f '{{.Dir}}' sigs.k8s.io/kind); }

# The images go into the node's own containerd, as in kind's images: nothing is pulled when the cluster starts.
node_image_assemble() {
  local work=$1 image=$2 builder=exportjob-node-build
  docker_import "$work/rootfs" "$builder:latest" 'ENV container=docker'
  docker rm -f "$builder" >/dev/null 2>&1 || true
  docker run -d --name "$builder" --privileged --network none --entrypoint sleep "$builder:latest" infinity
  docker exec -d "$builder" containerd
  wait_until 30 "containerd in the node image" docker exec "$builder" ctr version
  xargs docker save <"$work/images" | docker exec -i "$builder" ctr -n k8s.io images import -
  docker exec "$builder" bash -c 'kill $(pidof containerd); while pidof containerd; do sleep 0.1; done; rm -rf /run/containerd/*'
  docker commit -c 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' "$builder" "$image"
  docker rm -f "$builder"
  # What is in the node is not needed beside it.
  xargs docker rmi <"$work/images"
  docker rmi "$builder:latest"
}

# docker_import FOLDER IMAGE INSTRUCTION...: an image of one layer with the folder's content.
docker_import() {
  local folder=$1 image=$2 changes=() instruction
  for instruction in "${@:3}"; do changes+=(-c "$instruction"); done
  tar -C "$folder" -c . | docker import "${changes[@]}" - "$image"
}
