#!/usr/bin/env bash
# Prints the directory with prometheus and promtool: those that are installed, else those of Debian's package,
# unpacked to .build/prometheus without installing it. If there are none it says so, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

if installed=$(command -v promtool) && command -v prometheus >/dev/null; then
	dirname "$installed"
	exit
fi

unpacked=$PWD/.build/prometheus
if [[ ! -x $unpacked/usr/bin/promtool ]] && command -v apt-get dpkg-deb >/dev/null; then
	root=()
	((EUID == 0)) || root=(sudo -n)
	fresh=$(mktemp -d)
	trap 'rm -rf "$fresh"' EXIT
	download() (cd "$fresh" && apt-get download prometheus)
	if { download || { "${root[@]}" apt-get update && download; }; } >"$fresh/log" 2>&1; then
		mkdir -p "$unpacked"
		dpkg-deb -x "$fresh"/prometheus_*.deb "$unpacked"
	else
		cat "$fresh/log" >&2
	fi
fi
if [[ ! -x $unpacked/usr/bin/promtool ]]; then
	echo "there is no Prometheus here, and Debian's package can't be had: install prometheus and promtool" >&2
	exit 1
fi
echo "$unpacked/usr/bin"
