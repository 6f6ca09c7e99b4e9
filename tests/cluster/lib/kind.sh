# The cluster itself.
# shellcheck shell=bash

cluster_node() { echo "$CLUSTER_NAME-control-plane"; }

# True when the cluster answers to its kubeconfig.
cluster_answers() {
  [[ -f $CLUSTER_KUBECONFIG ]] && kubectl --kubeconfig "$CLUSTER_KUBECONFIG" --request-timeout 5s get --raw /readyz >/dev/null 2>&1
}

cluster_exists() { kind get clusters 2>/dev/null | grep -qxF "$CLUSTER_NAME"; }

# cluster_create IMAGE: makes the cluster, replacing what is left of one that does not answer any more.
cluster_create() {
  cluster_delete
  rm -rf "$AUDIT_DIR"
  mkdir -p "$AUDIT_DIR" "$RUN_DIR/audit-policy"
  cp "$CLUSTER_DIR/audit-policy.yaml" "$RUN_DIR/audit-policy/policy.yaml"
  sed "s#@AUDIT_DIR@#$AUDIT_DIR#; s#@POLICY_DIR@#$RUN_DIR/audit-policy#" "$CLUSTER_DIR/kind.yaml" >"$RUN_DIR/kind.yaml"
  # A kubeconfig that appears is the sign of a usable cluster, so it gets its name at the end.
  kind create cluster --name "$CLUSTER_NAME" --image "$1" --config "$RUN_DIR/kind.yaml" \
    --kubeconfig "$CLUSTER_KUBECONFIG.new" --wait 180s
  kubectl --kubeconfig "$CLUSTER_KUBECONFIG.new" --namespace kube-system rollout status deployment/coredns --timeout 120s
  mv "$CLUSTER_KUBECONFIG.new" "$CLUSTER_KUBECONFIG"
}

cluster_delete() {
  # The log is root's, and this may be a user who can only ask docker.
  docker exec "$(cluster_node)" rm -rf /var/log/kubernetes/audit.log 2>/dev/null || true
  rm -f "$CLUSTER_KUBECONFIG" "$CLUSTER_KUBECONFIG.new"
  kind delete cluster --name "$CLUSTER_NAME" --kubeconfig "$CLUSTER_KUBECONFIG.new"
  rm -f "$CLUSTER_KUBECONFIG.new" "$CLUSTER_KUBECONFIG.new.lock"
}
