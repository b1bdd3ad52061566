#!/usr/bin/env bash
# Build the image, by Docker, Podman or Buildah, whichever is there: tools/image.sh NAME [--try] [--push]
#
# --try starts the edge from it, as its user, and asks its health check. PYTHON_IMAGE names another base, pinned by a
# digest for instance; BUILD_OPTIONS are handed on, such as "--sbom=true --provenance=mode=max" for Docker.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?the name of the image, such as registry.example.com/chatmesh:0.1.0}
shift

say() { printf 'chatmesh: %s\n' "$*" >&2; }

tool=
for candidate in docker podman buildah; do
    if "$candidate" info >/dev/null 2>&1; then tool=$candidate && break; fi # its engine runs, too
done
if [ -z "$tool" ]; then
    say "Docker, Podman or Buildah is needed, and running"
    exit 1
fi

read -ra options <<<"${BUILD_OPTIONS:-}"
[ -z "${PYTHON_IMAGE:-}" ] || options+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
[ "$tool" = docker ] || options+=(--format docker) # the other format knows no health check
say "building $name with $tool"
"$tool" build "${options[@]}" --tag "$name" .

healthy() { # until the command that asks is content, for a minute at most
    for _ in $(seq 60); do
        if "$@" 2>/dev/null; then say "the edge of $name is healthy" && return; fi
        sleep 1
    done
    say "the edge of $name is not healthy"
    return 1
}

try_by_running() {
    container=$("$tool" run --detach --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges "$name")
    trap '"$tool" rm --force "$container" >/dev/null' EXIT
    healthy "$tool" exec "$container" python -m mesh.health
}

try_by_buildah() { # which knows `run`, but neither `exec` nor a container in the background
    container=$(buildah from --pull=never "$name")
    trap 'kill "$edge"; wait; buildah rm "$container" >/dev/null' EXIT
    buildah run "$container" -- python -m edge &
    edge=$!
    healthy buildah run "$container" -- python -m mesh.health
}

for wish in "$@"; do
    case $wish in
        --try) if [ "$tool" = buildah ]; then try_by_buildah; else try_by_running; fi ;;
        --push) "$tool" push "$name" ;;
        *) say "unknown: $wish" && exit 1 ;;
    esac
done
