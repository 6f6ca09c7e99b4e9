# Kernel settings that are the whole machine's, and that the node's systemd and kubelet, or docker, set all the same: only
# root can, and only root can take them back.
# shellcheck shell=bash

SETTINGS_BEFORE=$RUN_DIR/settings.before
SETTINGS=(
  fs/file-max fs/protected_fifos fs/protected_hardlinks fs/protected_regular fs/protected_symlinks
  kernel/panic kernel/panic_on_oops kernel/pid_max net/ipv4/ip_forward vm/overcommit_memory vm/panic_on_oom
)

# settings_remember: notes them, unless a cluster that was not taken down has noted them already.
settings_remember() {
  is_root && [[ ! -f $SETTINGS_BEFORE ]] || return 0
  local setting
  for setting in "${SETTINGS[@]}"; do
    if [[ -r /proc/sys/$setting ]]; then echo "$setting $(cat "/proc/sys/$setting")"; fi
  done >"$SETTINGS_BEFORE"
}

settings_restore() {
  is_root && [[ -f $SETTINGS_BEFORE ]] || return 0
  local setting value
  while read -r setting value; do
    # A machine may keep some of them from being written, and then the node could not either.
    echo "$value" 2>/dev/null >"/proc/sys/$setting" || true
  done <"$SETTINGS_BEFORE"
  rm -f "$SETTINGS_BEFORE"
}
