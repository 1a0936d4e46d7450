#!/usr/bin/env bash
# `make test` with each other Python that is on this machine, 3.12 or 3.13, in a copy of what git has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT
tried=()
for version in 3.12 3.13; do
  "python$version" --version >/dev/null 2>&1 || continue  # a shim may exist without an interpreter
  mkdir "$copies/$version"
  git archive HEAD | tar -x -C "$copies/$version"
  echo "-- Python $version"
  make -C "$copies/$version" test "PYTHON=python$version"
  tried+=("$version")
done
if ((${#tried[@]} == 0)); then
  echo 'test-pythons: neither python3.12 nor python3.13 is on this machine; nothing was tested'
else
  echo "passed with Python ${tried[*]}"
fi
