#!/usr/bin/env bash
# Writes what each image holds of Python packages as CycloneDX JSON, from its lock: sbom/msaas-<component>.json.
#
#   sbom.sh [FOLDER] [rest|worker|logs ...]       by default sbom/ and all three
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${1:-sbom}
shift || true
components=("$@")
((${#components[@]})) || components=(rest worker logs)
tools=.venv/tools
CYCLONEDX='cyclonedx-bom>=7,<8'

if [[ ! -x $tools/bin/cyclonedx-py ]]; then
  python3 -m venv "$tools"
  if ! "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$CYCLONEDX"; then
    echo 'sbom: cyclonedx-bom could not be installed; no list was written' >&2
    exit 1
  fi
fi

mkdir -p "$folder"
for component in "${components[@]}"; do
  "$tools/bin/cyclonedx-py" requirements --output-reproducible --output-format JSON --spec-version 1.6 \
    --output-file "$folder/msaas-$component.json" "$component/requirements.txt"
  echo "$folder/msaas-$component.json"
done
