#!/usr/bin/env bash
# Asks the advisory database (by pip-audit) about every package that the images' locks name.
# Exits 1 where it knows of something, 0 where it does not, and 0 too, saying so, where it cannot be asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tools=.venv/tools
PIP_AUDIT='pip-audit>=2.9,<3'

if [[ ! -x $tools/bin/pip-audit ]]; then
  python3 -m venv "$tools"
  if ! "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$PIP_AUDIT"; then
    echo 'audit: pip-audit could not be installed; nothing was asked'
    exit 0
  fi
fi

status=0
for lock in rest worker logs; do
  said=$("$tools/bin/pip-audit" --requirement "$lock/requirements.txt" --require-hashes --disable-pip \
    --progress-spinner off --timeout 20 2>&1) && { echo "audit: $lock/requirements.txt: nothing known"; continue; }
  if grep -qE '^Found [0-9]+ known vulnerabilit' <<<"$said"; then
    printf 'audit: %s/requirements.txt:\n%s\n' "$lock" "$said"
    status=1
  else
    echo "audit: $lock/requirements.txt: the advisory database could not be asked: $(tail -n 1 <<<"$said")"
  fi
done
exit "$status"
