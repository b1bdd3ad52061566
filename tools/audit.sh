#!/usr/bin/env bash
# Ask for advisories of every locked package, and refuse licences that bind those who use the code.
# Exit codes: 0 nothing found, 1 something found, 3 nobody who knows advisories could be asked.
set -euo pipefail
[ -x .venv/audit/bin/python ] || .venv/bin/uv venv --quiet .venv/audit
.venv/bin/uv pip install --quiet --require-hashes --python .venv/audit/bin/python -r locks/audit.txt

# LGPL is fine for a library that is installed beside ours (psycopg); what is only AGPL, GPL or SSPL is not. Tools that
# are run and nothing imports (`make test` installs hadolint) bind nobody: only what locks/dev.txt names is looked at.
mapfile -t locked < <(sed -nE 's/^([A-Za-z0-9._-]+)==.*/\1/p' locks/dev.txt)
licences() { .venv/audit/bin/pip-licenses --python .venv/bin/python --from mixed --packages "${locked[@]}" "$@"; }
echo "licences of what is locked:"
licences --summary
refused=$(licences --format csv |
    grep -E 'Affero|AGPL|SSPL|Server Side Public|"(GPL|GNU General Public)[^"]*"$' | grep -vE 'LGPL|Lesser' || true)
if [ -n "$refused" ]; then
    printf 'audit: licences that cannot be used here:\n%s\n' "$refused" >&2
    exit 1
fi

report=$(mktemp) told=$(mktemp)
trap 'rm -f "$report" "$told"' EXIT
# `asked osv LOCK` leaves a report, or what went wrong in `told`. Strict, because a mirror of PyPI without advisories
# would have it pass over every package and find "nothing". pip-audit exits with 1 for a finding and for a service that
# is away; only the former leaves a report.
asked() {
    : >"$report"
    code=0
    .venv/audit/bin/pip-audit --requirement "$2" --require-hashes --disable-pip --progress-spinner off \
        --vulnerability-service "$1" --strict --timeout 10 --format json --output "$report" >/dev/null 2>"$told" || code=$?
    [ -s "$report" ]
}

for lock in locks/core.txt locks/dev.txt; do
    why=
    for service in osv pypi; do
        if asked "$service" "$lock"; then why=; break; fi
        why+=$(printf '\n  %s: %s' "$service" "$(tail -n 1 "$told")")
    done
    if [ -n "$why" ]; then
        printf 'audit: neither osv.dev nor PyPI could be asked, so nothing is known of vulnerabilities in %s:%s\n' "$lock" "$why" >&2
        exit 3
    fi
    echo "$lock, by $service: $(tail -n 1 "$told")"
    [ "$code" = 0 ] || { cat "$report" >&2; exit 1; }
done
