#!/usr/bin/env bash
# Ask the advisory service about every locked package, and refuse licences that bind those who use the code.
# Exit codes: 0 nothing found, 1 something found, 3 the service (osv.dev) could not be asked.
set -euo pipefail
[ -x .venv/audit/bin/python ] || .venv/bin/uv venv --quiet .venv/audit
.venv/bin/uv pip install --quiet --require-hashes --python .venv/audit/bin/python -r locks/audit.txt

# LGPL is fine for a library that is installed beside ours (psycopg); what is only AGPL, GPL or SSPL is not.
echo "licences of what is installed:"
.venv/audit/bin/pip-licenses --python .venv/bin/python --from mixed --summary
refused=$(.venv/audit/bin/pip-licenses --python .venv/bin/python --from mixed --format csv |
    grep -E 'Affero|AGPL|SSPL|Server Side Public|"(GPL|GNU General Public)[^"]*"$' | grep -vE 'LGPL|Lesser' || true)
if [ -n "$refused" ]; then
    printf 'audit: licences that cannot be used here:\n%s\n' "$refused" >&2
    exit 1
fi

report=$(mktemp)
trap 'rm -f "$report"' EXIT
for lock in locks/core.txt locks/dev.txt; do
    # Not the default, PyPI itself: a mirror without advisories makes it pass over every package and find "nothing". It
    # exits with 1 for a finding and for a service that is away; only the former leaves a report.
    code=0
    .venv/audit/bin/pip-audit --requirement "$lock" --require-hashes --disable-pip --progress-spinner off \
        --vulnerability-service osv --strict --timeout 10 --format json --output "$report" >/dev/null 2>"$report.said" || code=$?
    said=$(tail -n 1 "$report.said"); rm -f "$report.said"
    if [ ! -s "$report" ]; then
        printf 'audit: the advisory service could not be asked, so nothing is known of vulnerabilities: %s\n' "$said" >&2
        exit 3
    fi
    echo "$lock: $said"
    [ "$code" = 0 ] || { cat "$report" >&2; exit 1; }
    : >"$report"
done
