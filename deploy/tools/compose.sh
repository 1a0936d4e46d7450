#!/usr/bin/env bash
# Runs compose.yaml: makes .env with secrets at the first run, then calls docker compose or podman-compose.
#
#   compose.sh [ARGUMENT ...]     of compose; default: up --detach --build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

secret() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# Complete or not at all: a run that is interrupted leaves no half of it, and one that exists is never changed.
make_env() {
  [[ ! -e .env ]] || return 0
  local draft
  draft=$(mktemp .env.XXXXXX)
  cat >"$draft" <<ENV
# Made by deploy/tools/compose.sh for compose.yaml. The secrets belong to the volumes: keep them together.
MSAAS_REDIS_PASSWORD=$(secret)
MINIO_ACCESS_KEY=msaas
MINIO_SECRET_KEY=$(secret)
#MSAAS_PORT=5000
#MSAAS_MODEL=htdemucs
#MSAAS_API_KEYS=
ENV
  chmod 600 "$draft"
  mv --no-clobber "$draft" .env
  rm -f "$draft"
  echo 'made .env with new secrets'
}

find_compose() {
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v podman-compose >/dev/null; then
    compose=(podman-compose)
  else
    echo 'compose: neither docker compose nor podman-compose works here; install one of them' >&2
    exit 2
  fi
}

find_compose
make_env
if (($#)); then exec "${compose[@]}" "$@"; fi
exec "${compose[@]}" up --detach --build
