# What a docker daemon leaves behind when it ends, and how to take it back: its packet rules and chains, links, and a
# machine that refuses to forward what is not docker's.
# shellcheck shell=bash

FORWARD_BEFORE=$RUN_DIR/forward.before

# firewall_remember: notes what docker overwrites, for firewall_restore. What a daemon that died had noted is kept: it
# says what was before that one.
firewall_remember() {
  [[ -f $FORWARD_BEFORE ]] || iptables -S FORWARD 2>/dev/null | awk '$1 == "-P" {print $3}' >"$FORWARD_BEFORE"
}

# firewall_restore: removes docker's chains and links, and the rules that name them; leaves all other rules alone.
firewall_restore() {
  local tool
  for tool in iptables ip6tables; do
    if have "$tool-save"; then firewall_strip "$tool"; fi
  done
  links_remove
  [[ -f $FORWARD_BEFORE ]] || return 0
  iptables -P FORWARD "$(grep . "$FORWARD_BEFORE" || echo ACCEPT)"
  rm -f "$FORWARD_BEFORE"
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
