#!/usr/bin/env bash
# Make .venv hold exactly what a lock file names, and this project; clear words when this machine cannot.
set -euo pipefail
lock=$1
python=${PYTHON:-python3}

say() { printf 'chatmesh: %s\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or newer is needed, found: $("$python" --version 2>&1 || true). Name another: make $* PYTHON=python3.12"
    exit 1
fi
if [ -e .venv/installed ] && [ "$(cat .venv/installed)" != "$PWD" ]; then
    say "the project was moved"
    rm -rf .venv
fi
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "making .venv"
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        say "this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
        exit 1
    fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
if ! .venv/bin/uv pip sync --quiet --require-hashes "$lock"; then
    say "not everything could be installed: see the lines above."
    say "Wheels are there for Linux (glibc 2.28+, x86_64 and arm64) and macOS; on Windows use WSL, on Alpine a glibc system."
    exit 1
fi
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
