# What a docker daemon changes in the kernel's packet rules, and how to take it back: it leaves its chains behind when
# it ends, refuses to forward what is not its own, and switches forwarding on.
# shellcheck shell=bash

FIREWALL_BEFORE=$RUN_DIR/firewall.before

# firewall_remember: notes the settings that docker overwrites, for firewall_restore.
firewall_remember() {
  {
    echo "forwarding=$(cat /proc/sys/net/ipv4/ip_forward)"
    echo "policy=$(iptables -S FORWARD 2>/dev/null | awk '$1 == "-P" {print $3}')"
  } >"$FIREWALL_BEFORE"
}

# firewall_restore: removes docker's chains and links, and the rules that name them; leaves all other rules alone.
firewall_restore() {
  local tool
  for tool in iptables ip6tables; do
    have "$tool-save" && firewall_strip "$tool"
  done
  links_remove
  if [[ -f $FIREWALL_BEFORE ]]; then
    local forwarding policy
    forwarding=$(sed -n 's/^forwarding=//p' "$FIREWALL_BEFORE")
    policy=$(sed -n 's/^policy=//p' "$FIREWALL_BEFORE")
    iptables -P FORWARD "${policy:-ACCEPT}"
    echo "${forwarding:-0}" >/proc/sys/net/ipv4/ip_forward
    rm -f "$FIREWALL_BEFORE"
  fi
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

# Docker names a network's bridge after the network's id; the state folder of our daemon is the only list of those ids
# that is left once it has ended.
links_ours() { cat "$RUN_DIR/links" 2>/dev/null || true; }

# links_remember: notes the bridges of our daemon's networks; to be called while it still answers.
links_remember() {
  docker network ls --filter driver=bridge --format 'br-{{.ID}}' >"$RUN_DIR/links"
}

links_remove() {
  local link
  for link in $(links_ours); do
    ip link delete "$link" 2>/dev/null || true
  done
  rm -f "$RUN_DIR/links"
}
