# Debian packages that the scripts call for: installed when root, named when not.
# shellcheck shell=bash

# need_packages PACKAGE...: makes sure that these Debian packages are there.
need_packages() {
  local missing=() package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  have apt-get || die "the programs of the Debian packages '${missing[*]}' are needed: install them with this system's package manager"
  is_root || die "the Debian packages '${missing[*]}' are needed: run 'sudo apt-get install ${missing[*]}'"
  step "installing Debian packages: ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  # A machine that was never updated has no package lists, or lists of versions that are gone.
  apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }
}

# need_command COMMAND PACKAGE: for programs that may have come by other means than the package.
need_command() {
  have "$1" || need_packages "$2"
}
