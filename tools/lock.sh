#!/usr/bin/env bash
# Resolve pyproject.toml into locks/: every file, version and hash, for every platform, naming no index.
set -euo pipefail
compile() {
    .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@" >/dev/null
}
compile pyproject.toml -o locks/core.txt
compile pyproject.toml --extra local --extra local-model --group dev -c locks/core.txt -o locks/dev.txt
compile --group bench -c locks/dev.txt -o locks/bench.txt
compile --group audit -o locks/audit.txt
compile --group fuzz -c locks/dev.txt -o locks/fuzz.txt
compile --group build -c locks/dev.txt -o locks/build.txt
compile --group deploy -c locks/dev.txt -o locks/deploy.txt
