# A docker daemon to run kind on: the machine's own where there is one, else one that we start and stop.
#
# Ours keeps its images in the cache, so that a second start takes seconds, and everything else in a run folder that
# `docker_stop` removes. It has no default bridge: kind makes a network of its own, and builds need none.
# shellcheck shell=bash

# Debian keeps dockerd, runc and iptables where a user's PATH often does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

DOCKERD_RUN=/run/exportjob-docker
DOCKERD_SOCKET=$DOCKERD_RUN/docker.sock
DOCKERD_DATA=$EXPORTJOB_CACHE/docker
CAP_SYS_RESOURCE=24

# docker_use: points this shell at the daemon that carries the cluster; fails when none answers.
docker_use() {
  have docker || return 1
  if [[ -S $DOCKERD_SOCKET ]] && docker -H "unix://$DOCKERD_SOCKET" info >/dev/null 2>&1; then
    export DOCKER_HOST=unix://$DOCKERD_SOCKET
    # The daemon is Debian's, which knows the classic builder only.
    export DOCKER_BUILDKIT=0
    return
  fi
  # A daemon without that capability starts no privileged container; ours works around it.
  ! { is_root && capability_withheld; } && docker info >/dev/null 2>&1
}

# docker_start: as docker_use, starting a daemon of our own when none answers.
docker_start() {
  docker_use && return
  is_root || die "no docker daemon answers: start docker, or run this as root on Debian and one is set up for it"
  need_packages docker.io iptables
  need_command docker docker-cli
  docker_use && return
  capability_withheld && go_tool runc-unprivileged
  firewall_remember
  step "starting a docker daemon of our own" dockerd_launch
  docker_use || die "the docker daemon that was started does not answer: see $RUN_DIR/dockerd.log"
}

docker_is_ours() { [[ ${DOCKER_HOST:-} == "unix://$DOCKERD_SOCKET" ]]; }

# True where even root may not raise resource limits: bit 24 of the bounding set is off.
capability_withheld() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)
  ((!(0x$bounding >> CAP_SYS_RESOURCE & 1)))
}

dockerd_launch() {
  local runtime=()
  ! capability_withheld || runtime=(--add-runtime "limited=$BIN_DIR/runc-unprivileged" --default-runtime limited)
  mkdir -p "$DOCKERD_RUN" "$DOCKERD_DATA"
  # A number that another program has by now would keep the daemon from starting.
  if [[ -z $(dockerd_pid) ]]; then rm -f "$DOCKERD_RUN/dockerd.pid"; fi
  # Settings of a daemon of the machine's own must not reach this one.
  echo '{}' >"$DOCKERD_RUN/daemon.json"
  setsid dockerd --host "unix://$DOCKERD_SOCKET" --data-root "$DOCKERD_DATA" --exec-root "$DOCKERD_RUN/exec" \
    --pidfile "$DOCKERD_RUN/dockerd.pid" --bridge none --config-file "$DOCKERD_RUN/daemon.json" "${runtime[@]}" \
    >"$RUN_DIR/dockerd.log" 2>&1 </dev/null 9>&- &
  wait_until 60 "the docker daemon's answer (log: $RUN_DIR/dockerd.log)" docker -H "unix://$DOCKERD_SOCKET" info
}

# docker_stop: ends our daemon, if there is one, and takes back what it changed on the machine.
docker_stop() {
  [[ -d $DOCKERD_RUN ]] || return 0
  is_root || die "the docker daemon in $DOCKERD_RUN was started by root: run this as root"
  dockerd_end
  local mount
  while read -r mount; do umount "$mount"; done < <(mounts_below "$DOCKERD_RUN" "$DOCKERD_DATA")
  firewall_restore
  # Empty by now, unless another daemon has containers there.
  find /sys/fs/cgroup -maxdepth 2 -name docker -type d -exec rmdir {} + 2>/dev/null || true
  rm -rf "$DOCKERD_RUN"
}

dockerd_end() {
  local pid
  pid=$(dockerd_pid)
  [[ -n $pid ]] || return 0
  kill "$pid"
  wait_until 60 "the docker daemon's end" process_gone "$pid"
}

# dockerd_pid: our daemon's process; nothing when the number belongs to another program by now, as after a reboot.
dockerd_pid() {
  local pid
  pid=$(cat "$DOCKERD_RUN/dockerd.pid" 2>/dev/null) || return 0
  if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then echo "$pid"; fi
}

process_gone() { ! kill -0 "$1" 2>/dev/null; }

# mounts_below FOLDER...: the mount points in these folders, innermost first.
mounts_below() {
  local folder
  for folder in "$@"; do
    awk -v below="$folder/" 'index($2, below) == 1 || $2 "/" == below {print $2}' /proc/mounts
  done | sort -r
}
