# Sourced by every script and by each recipe of the Makefile: where caches are kept and how Rust is built.
# shellcheck shell=bash
EXPORTJOB_CACHE=${EXPORTJOB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exportjob-operator}
export EXPORTJOB_CACHE
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EXPORTJOB_CACHE/target}
if command -v rustc >/dev/null 2>&1; then
  # A named target keeps the flags below away from build scripts and procedural macros, which cannot be static.
  CARGO_BUILD_TARGET=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
  export CARGO_BUILD_TARGET
  # Static binaries run in an image from scratch.
  export RUSTFLAGS="${RUSTFLAGS--C target-feature=+crt-static}"
fi
export PATH="$EXPORTJOB_CACHE/bin:$PATH"
