#!/usr/bin/env bash
# Debian's Chromium for the tests of the console, and a typeface for its screenshots: installed where they are missing.
set -euo pipefail
for name in ${MESH_CHROMIUM:-} chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null; then exit 0; fi
done

refuse() {
	echo "error: the tests of the console need Chromium: $1" >&2
	echo "remedy: as root: apt-get install chromium fonts-inter; or name another one: MESH_CHROMIUM=/path/to/chrome" >&2
	exit 1
}

if [ "$(id -u)" = 0 ]; then
	as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root=(sudo -n)
else
	refuse "there is none, and this user may not install it"
fi
command -v apt-get >/dev/null || refuse "there is none, and no apt-get to install it with"
echo "installing chromium (once)"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq || refuse "apt-get update failed"
"${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-inter >/dev/null || refuse "apt-get install failed"
