#!/usr/bin/env bash
# The whole service in a real cluster (kind, minikube): installed by deploy-all.sh with htdemucs_mini, reached by
# port-forward, one song in, four stems out, then the worker is killed in mid-song and the song comes through all the
# same. Without a cluster it fails, and says so. It uses a namespace of its own and removes it at the end.
#
#   cluster-smoke.sh [--keep] [ARGUMENT FOR deploy-all.sh ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

namespace=msaas-smoke
python=.venv/bin/python
port=15000
keep=false
forward=''

die() {
  echo "cluster-smoke: $*" >&2
  exit 1
}

say() { printf '\n== %s\n' "$*"; }

clean_up() {
  local status=$?
  trap - EXIT
  [[ -z $forward ]] || kill "$forward" 2>/dev/null || true
  "$keep" || ./deploy-all.sh --overlay cluster-smoke --namespace "$namespace" --down --purge || true
  exit "$status"
}

start_forward() {
  kubectl -n "$namespace" port-forward service/rest-server "$port:5000" >/dev/null &
  forward=$!
  local _
  for _ in {1..60}; do
    "$python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)' \
      "http://127.0.0.1:$port/readyz" 2>/dev/null && return
    sleep 1
  done
  die 'the API does not answer through the port-forward'
}

# A worker's pod is deleted without grace: the lease runs out, and the next worker has the song.
kill_worker_in_mid_song() {
  "$python" deploy/tools/smoke_client.py "http://127.0.0.1:$port" "$1" &
  local client=$!
  sleep 5
  kubectl -n "$namespace" delete pod -l app.kubernetes.io/name=worker --grace-period=0 --force
  wait "$client" || die 'the song of the killed worker did not come through'
}

main() {
  if [[ ${1:-} == --keep ]]; then keep=true && shift; fi
  command -v kubectl >/dev/null || die 'kubectl is not installed'
  [[ -x $python ]] || die 'no .venv with the [dev] extra: make check sets it up'
  "$python" -c 'import msaas, av' 2>/dev/null || die "$python lacks a package of the [dev] extra: make check installs it"
  kubectl get nodes || die 'no cluster: nothing was tested. kind create cluster, or minikube start, makes one'
  trap clean_up EXIT
  say 'installing' && ./deploy-all.sh --overlay cluster-smoke --namespace "$namespace" --weights htdemucs_mini "$@"
  say 'a song' && start_forward && "$python" deploy/tools/smoke_client.py "http://127.0.0.1:$port" data/the-slow-river.mp3
  say 'a worker killed in mid-song' && kill_worker_in_mid_song data/harbour-lights.mp3
  say 'cluster-smoke: passed'
}

main "$@"
