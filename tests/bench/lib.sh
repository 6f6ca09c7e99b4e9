# The Python that the benchmark's scripts run in: a virtual environment of its own, in the cache.
# shellcheck shell=bash
# shellcheck source=../cluster/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/lib/common.sh"
# shellcheck source=../cluster/lib/packages.sh
source "$CLUSTER_DIR/lib/packages.sh"

BENCH_DIR=$REPO_DIR/tests/bench
BENCH_CACHE=$EXPORTJOB_CACHE/bench
BENCH_PYTHON=$BENCH_CACHE/venv/bin/python
export BENCH_DIR BENCH_CACHE BENCH_PYTHON

# need_requirements FILE TEXT: installs what a requirements file lists, beside what is there; does nothing twice, and one
# at a time.
need_requirements() {
  local file=$BENCH_DIR/$1 lock
  mkdir -p "$BENCH_CACHE"
  exec {lock}>"$BENCH_CACHE/.lock"
  flock "$lock"
  install_missing "$file" "$2"
  exec {lock}>&-
}

install_missing() {
  local file=$1 stamp print
  stamp=$BENCH_CACHE/venv/.$(basename "$file" .txt)
  print=$(fingerprint "$file")
  [[ -x $BENCH_PYTHON && $(cat "$stamp" 2>/dev/null) == "$print" ]] && return
  need_command python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
  step "$2" install_requirements "$file"
  echo "$print" >"$stamp"
}

install_requirements() {
  [[ -x $BENCH_PYTHON ]] || python3 -m venv "$BENCH_CACHE/venv"
  "$BENCH_PYTHON" -m pip install --quiet --disable-pip-version-check -r "$1"
}
