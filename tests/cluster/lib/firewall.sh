# What a docker daemon and a node in it change in the kernel, and how to take it back: docker leaves its packet rules
# behind when it ends and refuses to forward what is not its own; the node's systemd and kubelet set kernel parameters,
# some of which are the whole machine's.
# shellcheck shell=bash

FIREWALL_BEFORE=$RUN_DIR/firewall.before
KERNEL_SETTINGS=(
  fs/file-max fs/protected_fifos fs/protected_hardlinks fs/protected_regular fs/protected_symlinks
  kernel/panic kernel/panic_on_oops kernel/pid_max net/ipv4/ip_forward vm/overcommit_memory vm/panic_on_oom
)

# firewall_remember: notes what docker and the node overwrite, for firewall_restore.
firewall_remember() {
  # Of a daemon that died: what is to be restored is what was before that one.
  [[ ! -f $FIREWALL_BEFORE ]] || return 0
  local setting
  {
    echo "policy $(iptables -S FORWARD 2>/dev/null | awk '$1 == "-P" {print $3}')"
    for setting in "${KERNEL_SETTINGS[@]}"; do
      if [[ -r /proc/sys/$setting ]]; then echo "$setting $(cat "/proc/sys/$setting")"; fi
    done
  } >"$FIREWALL_BEFORE"
}

# firewall_restore: removes docker's chains and links, and the rules that name them; leaves all other rules alone.
firewall_restore() {
  local tool name value
  for tool in iptables ip6tables; do
    if have "$tool-save"; then firewall_strip "$tool"; fi
  done
  links_remove
  [[ -f $FIREWALL_BEFORE ]] || return 0
  while read -r name value; do
    if [[ $name == policy ]]; then
      iptables -P FORWARD "${value:-ACCEPT}"
    else
      echo "$value" >"/proc/sys/$name"
    fi
  done <"$FIREWALL_BEFORE"
  rm -f "$FIREWALL_BEFORE"
}

# firewall_strip TOOL: one save, one filter, one restore; only when there is something of docker's.
firewall_strip() {
  local rules
  rules=$("$1-save" 2>/dev/null) || return 0
  grep -qE "$(firewall_ours)" <<<"$rules" || return 0
  grep -vE "$(firewall_ours)" <<<"$rules" | "$1-restore"
}

# Docker's chains by their names, and every rule that names one of them or one of our links.
firewall_ours() {
  local pattern='DOCKER' link
  for link in $(links_ours); do pattern+="| $link( |$)"; done
  printf '%s' "$pattern"
}

# links_remember: notes the bridges of our daemon's networks and what hangs on them; to be called while it answers. The
# note is all that is left to go by when the daemon dies: bridges are named after ids that only it knew, and the link of
# a container loses its bridge.
links_remember() {
  local bridge
  for bridge in $(docker network ls --filter driver=bridge --format 'br-{{.ID}}'); do
    ip -o link show master "$bridge" 2>/dev/null | awk -F': ' '{sub(/@.*/, "", $2); print $2}'
    echo "$bridge"
  done >"$RUN_DIR/links"
}

links_ours() { cat "$RUN_DIR/links" 2>/dev/null || true; }

links_remove() {
  local link
  for link in $(links_ours); do
    ip link delete "$link" 2>/dev/null || true
  done
  rm -f "$RUN_DIR/links"
}
