#!/usr/bin/env bash
# Make a Postman collection (v2.1) of a running mesh's /openapi.json: tools/postman.sh URL FILE. Postman's own converter does
# it, from npm; the collection is five megabytes, with an example of every answer, so it is made and not kept.
set -euo pipefail
url=${1%/} file=$2
command -v npx >/dev/null || { echo 'postman: Node.js with npx is needed' >&2; exit 1; }
mkdir -p "$(dirname "$file")"
document=$(mktemp --suffix .json)
trap 'rm -f "$document"' EXIT
.venv/bin/python - "$url" "$document" <<'PY'
import json, sys, urllib.error, urllib.request

url, target = sys.argv[1:]
try:
    with urllib.request.urlopen(f"{url}/openapi.json") as answer:
        document = json.load(answer)
except urllib.error.URLError as error:
    sys.exit(f"postman: {url}: {error.reason}; `make run` starts a mesh")
document["servers"] = [{"url": url}]
with open(target, "w") as file:
    json.dump(document, file)
PY
npx --yes openapi-to-postmanv2@6.3.3 -s "$document" -o "$file" -p -O folderStrategy=Tags,parametersResolution=Example >/dev/null
echo "written to $file; newman run $file, or import it into Postman"
