#!/usr/bin/env bash
# Builds the native binding of @tensorflow/tfjs-node(-gpu) from the C++ source in its npm package, against the CPU
# TensorFlow of a Python wheel: for machines that cannot download the prebuilt one, and for TensorFlow 2.21 instead of its
# 2.9. Caches the result, puts it where the package looks for it, and prints that path, and nothing else, on stdout.
#
#   build-tfjs-binding.sh [PACKAGE]    PACKAGE: the npm package's folder;
#                                      default test/peers/node_modules/@tensorflow/tfjs-node-gpu
#
# TENSORFLOW_WHEEL names a wheel of tensorflow-cpu (or tensorflow, for CUDA) that is already there; else pip fetches one.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
package=${1:-$here/../test/peers/node_modules/@tensorflow/tfjs-node-gpu}
tensorflow=2.21.0

say() { echo "build-tfjs-binding: $*" >&2; }
die() { say "$*"; exit 1; }

[ -f "$package/binding/tfjs_binding.cc" ] ||
  die "no binding source in $package; run: npm ci --prefix test/peers --ignore-scripts"
package=$(readlink -f "$package")
version=$(sed -n 's/^[[:space:]]*"version": "\(.*\)",$/\1/p' "$package/package.json" | head -n 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tonetap
built=$cache/tfjs-binding-$version-tensorflow-$tensorflow-$(uname -m)
installed=$package/lib/napi-v8/tfjs_binding.node

# A library that has lost what it links to, after an upgrade of the system, is built again.
usable() { [ -f "$1" ] && ! ldd "$1" 2>&1 | grep -q 'not found'; }
place() {
  mkdir -p "$(dirname "$installed")"
  # Beside and moved: a process that has the old one open keeps it.
  cp "$built/tfjs_binding.node" "$installed.new"
  mv "$installed.new" "$installed"
  echo "$installed"
}
if usable "$built/tfjs_binding.node"; then
  place
  exit 0
fi

[ "$(uname -s)" = Linux ] || die "builds on Linux only; the package's own install script serves other systems"
mkdir -p "$cache"
exec 9>"$cache/tfjs-binding.lock"
flock 9 # Two at once would build the same thing twice.
if usable "$built/tfjs_binding.node"; then
  place
  exit 0
fi

headers=
for folder in /usr/include/node /usr/include/nodejs/src /usr/local/include/node "$(dirname "$(command -v node)")/../include/node"; do
  if [ -f "$folder/node_api.h" ]; then
    headers=$folder
    break
  fi
done
missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v python3 >/dev/null || missing+=(python3-venv)
[ -n "$headers" ] || missing+=(libnode-dev)
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || die "needs ${missing[*]}; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
    die "apt-get could not install ${missing[*]}"
  headers=${headers:-/usr/include/node}
fi

build=$(mktemp -d -p "$cache")
trap 'rm -rf "$build"' EXIT
say "unpacking TensorFlow $tensorflow (a wheel of 260 MB)"
# --no-deps: only its headers and two libraries are used.
{ python3 -m venv "$build/venv" &&
  "$build/venv/bin/pip" -q install --retries 0 --no-deps --no-compile --target "$build/python" \
    "${TENSORFLOW_WHEEL:-tensorflow-cpu==$tensorflow}"; } >&2 ||
  die "pip could not get tensorflow-cpu $tensorflow for $(python3 --version); TENSORFLOW_WHEEL may name a wheel"
source=$build/python/tensorflow
[ -f "$source/libtensorflow_cc.so.2" ] || die "the wheel holds no libtensorflow_cc.so.2"

say "compiling the binding of tfjs-node $version"
mkdir "$build/out"
mv "$source/libtensorflow_cc.so.2" "$source/libtensorflow_framework.so.2" "$build/out/"
g++ -std=c++17 -O2 -fPIC -shared -DNAPI_VERSION=8 -I"$headers" -I"$source/include" -I"$package" \
  "$package/binding/tfjs_backend.cc" "$package/binding/tfjs_binding.cc" -o "$build/out/tfjs_binding.node" \
  -L"$build/out" -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 -Wl,-rpath,"$built" >&2 ||
  die "the binding of tfjs-node $version does not compile against TensorFlow $tensorflow"
rm -rf "$built"
mv "$build/out" "$built"
usable "$built/tfjs_binding.node" ||
  die "the binding was built, but lacks libraries: $(ldd "$built/tfjs_binding.node" | grep 'not found')"
place
