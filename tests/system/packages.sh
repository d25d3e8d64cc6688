#!/bin/sh
# Installs what tests/system needs from Debian, or the programs named as arguments, which are packages of
# the same name. Without root, or without apt, it says what is missing.
# Status 0 when everything is there afterwards.
set -eu

missing=""
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
if [ $# -gt 0 ]; then
    for program in "$@"; do want "$program" "$program"; done
else
    want nginx nginx
    want redis-server redis-server
    want faketime faketime
    want chromium chromium
    want chromedriver chromium-driver
    # Prometheus and promtool.
    want promtool prometheus
fi
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "The tests need:$missing" >&2
    echo "On Debian, as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing from Debian:$missing" >&2
# Debian's servers start themselves when they are installed, unless a policy says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
