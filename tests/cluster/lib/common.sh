# What every script of the test cluster shares: versions, places, and a way to say what is done and how long it takes.
# shellcheck shell=bash
set -euo pipefail

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO_DIR=$(cd "$CLUSTER_DIR/../.." && pwd)
# shellcheck source=../../env.sh
source "$REPO_DIR/tests/env.sh"

# The versions of the Go programs stand in go/*/go.mod; these two are not Go modules of ours to build.
KUBERNETES_VERSION=v1.34.4
# Pinned by digest: a tag of kind's node images is moved when kind changes their layout.
KIND_PUBLISHED_IMAGE=kindest/node:v1.34.3@sha256:08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48

CLUSTER_NAME=exportjob
CLUSTER_KUBECONFIG=$EXPORTJOB_CACHE/kubeconfig
BIN_DIR=$EXPORTJOB_CACHE/bin
RUN_DIR=$EXPORTJOB_CACHE/run
AUDIT_DIR=$RUN_DIR/audit
export CLUSTER_DIR REPO_DIR KUBERNETES_VERSION KIND_PUBLISHED_IMAGE CLUSTER_NAME CLUSTER_KUBECONFIG BIN_DIR RUN_DIR AUDIT_DIR
mkdir -p "$BIN_DIR" "$RUN_DIR"

# All messages go to standard error: standard output is for what a caller wants to read.
say() { printf '%s\n' "$*" >&2; }

# die MESSAGE: says what is wrong and what to do, and ends the script.
die() {
  say "error: $*"
  exit 1
}

is_root() { [[ $(id -u) == 0 ]]; }

have() { command -v "$1" >/dev/null 2>&1; }

# step TEXT COMMAND...: says what begins, runs it, and says how long it took. Its output is kept in a log that is shown
# when it fails, unless VERBOSE is set.
step() {
  local text=$1 log started=$SECONDS status=0
  shift
  log=$(mktemp "$RUN_DIR/step.XXXXXX")
  say "==> $text"
  # Not `if "$@"`: bash switches `set -e` off in there, and a failure in the middle of a function would go unseen.
  set +e
  if [[ -n ${VERBOSE:-} ]]; then
    (set -e; "$@") 2>&1 | tee "$log" >&2
    status=${PIPESTATUS[0]}
  else
    (set -e; "$@") >"$log" 2>&1
    status=$?
  fi
  set -e
  if ((status != 0)); then
    say "    failed after $((SECONDS - started)) s; its last lines:"
    tail -n 40 "$log" | sed 's/^/    /' >&2
    rm -f "$log"
    return "$status"
  fi
  rm -f "$log"
  say "    done in $((SECONDS - started)) s"
}

# fingerprint FILE...: one short hash over names and contents, to notice that something has to be built again.
fingerprint() { sha256sum "$@" | sha256sum | cut -c1-12; }

# wait_until SECONDS TEXT COMMAND...: polls a condition that has no event to wait for.
wait_until() {
  local limit=$1 text=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$text: not within $limit s"
    sleep 0.2
  done
}
