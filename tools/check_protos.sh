#!/usr/bin/env bash
# Lint and format the protos, and refuse a change that would break a client since the last commit on main.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

image() { # the descriptors of a folder of protos, comments included
    python tools/generate.py --protos "$1" --image "$2"
}

image protos "$scratch/now.binpb"
buf lint "$scratch/now.binpb" --config buf.yaml --path chatmesh
buf format --diff --exit-code protos

base=${BREAKING_AGAINST:-HEAD}
if git rev-parse --quiet --verify "$base:protos" >/dev/null; then
    mkdir "$scratch/before"
    git archive "$base" protos | tar -x -C "$scratch/before"
    image "$scratch/before/protos" "$scratch/before.binpb"
    buf breaking "$scratch/now.binpb" --against "$scratch/before.binpb" --config buf.yaml --path chatmesh
fi
