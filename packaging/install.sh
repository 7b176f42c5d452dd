#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs rear without a network, as root: ./install.sh [PACKAGE...]
#
# It makes a virtual environment below /opt/rear with rear-core and these packages (all by default), and the command
# /usr/local/sbin/rear. Run again, it replaces the older version once the new one works; /etc/rear stays as it is. To
# remove it: rm -r /opt/rear /usr/local/sbin/rear
set -eu
cd "$(dirname "$0")"
home=${REAR_HOME:-/opt/rear}
link=${REAR_LINK:-/usr/local/sbin/rear}
python=${PYTHON:-python3}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "run this as root"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "rear needs Python 3.9 or newer; set PYTHON"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments: install python3-venv"
[ $# -gt 0 ] || set -- $(ls wheels | sed -n 's/^\(rear_[a-z_]*\)-.*/\1/p')
# A virtual environment knows its own path and cannot be moved: each version has its own.
new=$home/$(date +%Y%m%d%H%M%S)
mkdir -p "$home"
trap 'rm -rf --one-file-system "$new"' EXIT
"$python" -m venv "$new"
"$new/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links=wheels rear-core "$@"
version=$("$new/bin/rear" --version)
ln -sfn "$new/bin/rear" "$link"
trap - EXIT
for old in "$home"/*; do
    [ "$old" = "$new" ] || rm -rf --one-file-system "$old"
done
echo "Installed $version as $link"
