# Sourced by every script: goes to the repository's root, and puts the tools that `setup` chose or built first
# on PATH. Prints nothing.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Tools are kept outside the clone, under their version, so that a second clone finds them ready.
export NEARSIDE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/nearside
export NEARSIDE_PYTHON=$NEARSIDE_CACHE/python
MIN_RUST=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# The command-line tool must be of exactly the version of the crate, which Cargo.toml pins.
WASM_BINDGEN_VERSION=$(sed -n 's/^wasm-bindgen = "=\(.*\)"/\1/p' Cargo.toml)
WASM_PACK_VERSION=0.15.1

# rust/bin goes before rustup's shims, which would choose once more; rustup itself may not be on PATH yet, in a
# shell that is older than its installation.
PATH=$NEARSIDE_CACHE/rust/bin:$NEARSIDE_CACHE/wasm-bindgen-$WASM_BINDGEN_VERSION/bin:$NEARSIDE_CACHE/wasm-pack-$WASM_PACK_VERSION/bin:$PATH
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# The path of the first of these commands that exists; nothing if none does.
first_of() {
  local name
  for name; do command -v "$name" && break; done || true
}
CHROMIUM=${CHROMIUM:-$(first_of chromium chromium-browser google-chrome google-chrome-stable \
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")}
CHROMEDRIVER=${CHROMEDRIVER:-$(first_of chromedriver)}
export CHROMIUM CHROMEDRIVER
