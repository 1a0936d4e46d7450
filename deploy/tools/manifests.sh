#!/usr/bin/env bash
# Every overlay rendered and held against Kubernetes' own schemas, checkov, hadolint and shellcheck. No cluster is asked.
# Our own tests of the manifests (tests/deploy) run with all the others; this runs them too. Needs .venv with [dev].
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bin=.venv/bin
checkov_release=3.3.30
checkov=.venv/checkov-$checkov_release/bin/checkov
# The oldest and the newest that we say we support.
versions=(1.30 1.37)
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

die() {
  echo "manifests: $*" >&2
  exit 1
}

check_tools() {
  local tool missing=()
  for tool in kubectl kubernetes-validate hadolint shellcheck pytest; do
    [[ -x $bin/$tool ]] || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || die "not in $bin: ${missing[*]}; \`make manifests\` sets them up"
}

# checkov pins much of what others need in other releases: it has an environment of its own.
install_checkov() {
  [[ -x $checkov ]] && return
  echo "installing checkov $checkov_release: some minutes, once"
  "$bin/python" -m venv "${checkov%/bin/*}"
  "${checkov%/*}/python" -m pip install --quiet --disable-pip-version-check "checkov==$checkov_release" ||
    die "checkov $checkov_release cannot be installed: is there a package registry that pip can reach?"
}

render() {
  local folder name
  for folder in deploy/base deploy/overlays/*/; do
    name=$(basename "$folder")
    "$bin/kubectl" kustomize "$folder" >"$rendered/$name.yaml"
    printf '%-16s %s\n' "$name" "$(grep '^kind:' "$rendered/$name.yaml" | sort | uniq -c | awk '{ printf "%s %s  ", $1, $3 }')"
  done
}

# Volumes of images came with a later Kubernetes than the oldest.
objects_for() {
  local file
  for file in "$rendered"/*.yaml; do
    [[ $1 == "${versions[0]}" && $file == */weights-image.yaml ]] || echo "$file"
  done
}

# A kind without a schema is named: its fields are held by tests/deploy alone.
validate() {
  local version files
  for version in "${versions[@]}"; do
    echo "kubernetes-validate $version, strict"
    mapfile -t files < <(objects_for "$version")
    "$bin/kubernetes-validate" --strict -k "$version" "${files[@]}" >"$rendered/validate.log" 2>&1 ||
      { cat "$rendered/validate.log" && return 1; }
    sed -nE "s/.*Couldn't find schema for kind ([A-Za-z]+) .*/  no schema for \1: see tests\/deploy/p" \
      "$rendered/validate.log" | sort -u
  done
}

# The smoke test's overlay is no deployment: it stands on the host's network because podman has no Services.
check() {
  rm "$rendered/container-smoke.yaml"
  "$checkov" --config-file deploy/checkov.yaml --directory "$rendered" --framework kubernetes
  "$checkov" --config-file deploy/checkov.yaml --file {rest,worker,logs}/Dockerfile --framework dockerfile
}

main() {
  check_tools
  render
  validate
  install_checkov
  echo "checkov $checkov_release, exceptions in deploy/checkov.yaml"
  check
  echo 'hadolint' && "$bin/hadolint" {rest,worker,logs}/Dockerfile worker/weights.Dockerfile
  echo 'shellcheck' && "$bin/shellcheck" --external-sources ./*.sh deploy/tools/*.sh
  "$bin/python" -P -m pytest -q --no-header tests/deploy
  echo 'manifests: all is well'
}

main "$@"
