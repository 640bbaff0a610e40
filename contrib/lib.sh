# Shared by contrib/demo, contrib/install, contrib/test and .ci/run: installs what is missing, says what it does, and is
# quick when nothing is missing. Sourced, never run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${PAASD_VENV:-$here/.venv}
# Where this is set every daemon and every command compiles all of paasd anew: 0.7 s of a processor each time.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" = 0 ] || die "this needs root for namespaces and cgroups; run it with sudo"
}

# Names in the given list files that dpkg does not report as installed.
missing_packages() {
  local file name
  for file in "$@"; do
    sed 's/#.*//' "$file" | while read -r name; do
      [ -z "$name" ] && continue
      [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
    done
  done
}

install_packages() {
  local missing
  missing=$(missing_packages "$@" | sort -u | tr '\n' ' ')
  [ -z "${missing// /}" ] && return 0
  say "installing Debian packages (takes a minute or two): $missing"
  export DEBIAN_FRONTEND=noninteractive
  # A server package must not start its service: what paasd needs running, paasd starts.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; made=1; fi
  apt-get update -qq || die "apt-get update failed; check the machine's package sources"
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null || { [ -n "$made" ] && rm -f "$policy"; die "apt-get could not install: $missing"; }
  if [ -n "$made" ]; then rm -f "$policy"; fi
}

# A Python >= 3.11 that can make virtual environments.
find_python() {
  local python
  for python in python3.13 python3.12 python3.11 python3; do
    if command -v "$python" >/dev/null && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return 0
    fi
  done
  return 1
}

# Installs again when pyproject.toml changed; what has the test extras has the rest too.
install_python() {
  local extras=${1:-} wanted
  wanted=$(sha256sum < "$here/pyproject.toml" | cut -c1-16)
  if [ -f "$venv/.installed-$wanted-$extras" ] || [ -f "$venv/.installed-$wanted-test" ]; then return 0; fi
  local python
  python=$(find_python) || python=python3
  say "installing Python packages into $venv (takes a minute or two)"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || die "no Python >= 3.11 with venv; install python3-venv"
  # pip compiles on one processor, for half of its time.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile -e "$here${extras:+[$extras]}" || die "pip could not install the Python packages"
  "$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || true # some packages bring files of other versions
  touch "$venv/.installed-$wanted-$extras"
}

# Both, beside each other where there is a Python to begin with: `install_all EXTRAS FILE...`.
install_all() {
  local extras=$1 packages=
  shift
  if find_python >/dev/null; then install_packages "$@" & packages=$!; else install_packages "$@"; fi
  # What fails here ends the script: not before apt-get has ended, too.
  (install_python "$extras") || { [ -z "$packages" ] || wait "$packages" || true; exit 1; }
  [ -z "$packages" ] || wait "$packages" || exit 1
}

# What a machine gets beside /opt/paasd, below ROOT if one is given: the units, what they start, and the program by its
# bare name. What somebody else calls paasd stays.
install_files() {
  local root=${1:-} program=/opt/paasd/bin/paasd link
  link=$root/usr/local/bin/paasd
  mkdir -p "$root/usr/lib/paasd" "$root/etc/paasd" "$root/etc/systemd/system" "$root/usr/local/bin"
  install -m 755 "$here/contrib/systemd/holder" "$root/usr/lib/paasd/holder"
  install -m 644 "$here/contrib/systemd/paasd.service" "$here/contrib/systemd/paasd-holder.service" "$root/etc/systemd/system/"
  if { [ -e "$link" ] || [ -L "$link" ]; } && [ "$(readlink "$link")" != "$program" ]; then
    say "$link is somebody else's and stays; this installation is $program"
  else
    ln -sfn "$program" "$link"
  fi
}
