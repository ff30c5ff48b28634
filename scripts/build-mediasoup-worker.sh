#!/usr/bin/env bash
# Builds mediasoup's worker from the source in its npm package, against Debian 12's libraries, for machines that cannot
# download the prebuilt one. Prints the path of the binary, which it caches, and nothing else, on stdout.
#
#   build-mediasoup-worker.sh [PACKAGE]     PACKAGE: a mediasoup package folder; default test/peers/node_modules/mediasoup
#
# JOBS sets the compiler processes (default: one a core). Then run mediasoup with MEDIASOUP_WORKER_BIN set to that path.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
package=${1:-$here/../test/peers/node_modules/mediasoup}
libraries=(libssl-dev libuv1-dev libsrtp2-dev libabsl-dev libflatbuffers-dev)
tools=(build-essential pkg-config flatbuffers-compiler ninja-build python3-venv)

say() { echo "build-mediasoup-worker: $*" >&2; }
die() { say "$*"; exit 1; }

[ -f "$package/worker/meson.build" ] ||
  die "no mediasoup source in $package; run: npm ci --prefix test/peers --ignore-scripts"
package=$(readlink -f "$package")
version=$(sed -n 's/^[[:space:]]*"version": "\(.*\)",$/\1/p' "$package/package.json" | head -n 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tonetap
binary=$cache/mediasoup-worker-$version-$(uname -m)

# A binary whose libraries have gone, after an upgrade of the system, is built again.
usable() { [ -x "$binary" ] && ! ldd "$binary" 2>&1 | grep -q 'not found'; }
if usable; then
  echo "$binary"
  exit 0
fi

[ "$(uname -s)" = Linux ] || die "builds on Linux only; mediasoup's own postinstall serves other systems"
mkdir -p "$cache"
exec 9>"$cache/mediasoup-worker.lock"
flock 9 # Two at once would build the same thing twice.
if usable; then
  echo "$binary"
  exit 0
fi

missing=()
for name in "${libraries[@]}" "${tools[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || die "needs ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
    die "apt-get could not install ${missing[*]}"
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
# Debian 12's meson is 1.0.1; the worker's build needs 1.1.
{ python3 -m venv "$build/venv" && "$build/venv/bin/pip" -q install --retries 1 'meson>=1.1,<2'; } >&2 ||
  die "pip could not install meson 1.1 or newer; is a package index reachable?"
PATH=$build/venv/bin:$PATH

cp -r "$package/worker" "$build/worker"
cd "$build/worker"
rm -f subprojects/*.wrap
cp -r "$here/mediasoup-worker/subprojects/." subprojects/
# OpenSSL calls the BIO callback with "BIO_CB_RETURN | operation", never with BIO_CB_RETURN alone, and takes its result for
# the operation's. The worker then answers 1 to every BIO_ctrl(). Debian's OpenSSL knows kernel TLS, asks the BIO whether it
# does that, hears yes, and the first DTLS hello crashes the worker.
sed -i 's/(operationType == BIO_CB_RETURN) ?/(operationType \& BIO_CB_RETURN) != 0 ?/' src/RTC/DtlsTransport.cpp
grep -q '(operationType & BIO_CB_RETURN) != 0 ?' src/RTC/DtlsTransport.cpp ||
  die "mediasoup $version differs from the one that this script knows: the fix of DtlsTransport.cpp did not apply"

say "building mediasoup-worker $version (10 to 20 processor minutes)"
log=$cache/mediasoup-worker-build.log
{
  meson setup --buildtype release -Db_ndebug=true -Db_pie=true --wrap-mode=nodownload "$build/out" . &&
    ninja -C "$build/out" -j "${JOBS:-$(nproc)}" mediasoup-worker
} >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "the build failed; see $log"; }
strip -o "$binary.new" "$build/out/mediasoup-worker"
mv "$binary.new" "$binary"
usable || die "$binary was built, but lacks libraries: $(ldd "$binary" | grep 'not found')"
echo "$binary"
