#!/usr/bin/env bash
# Faults in a real cluster on this machine: starts the lab's cluster, builds the images from stand-in bases and loads them,
# installs deploy/overlays/cluster-test, plays cluster-drill.py, and takes the cluster down. Root; needs .venv with the
# package and its [dev] extra. Without the lab's cluster it does nothing, and says so.
#
#   cluster-test.sh [--no-build] [--keep] [ARGUMENT FOR cluster-drill.py ...]
#   cluster-test.sh [--no-build] [--keep] --chart      installs, updates, rolls back and uninstalls the Helm chart instead
#
# HELM is the command for --chart (default: .venv/bin/helm, 3.17): a Helm 4, or 'PYTHON deploy/tools/helm-sdk.py'.
# LAB_CLUSTER names the cluster's script (default: ../shared/cluster/cluster.sh beside this clone), with the commands `up`,
# `keda`, `load IMAGE FILE`, `run COMMAND`, `stop NODE`, `start NODE` and `down`. Images stay in /var/lib/msaas-lab (LAB_STORE).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cluster=${LAB_CLUSTER:-../shared/cluster/cluster.sh}
if [[ ! -x $cluster ]]; then
  echo "cluster-test: skipped, nothing was tested: $cluster is not there (LAB_CLUSTER names another)"
  exit 0
fi
cluster=$(realpath "$cluster")

LAB_FOLDER=$(mktemp -d)
# shellcheck source=deploy/tools/lab.sh
source deploy/tools/lab.sh

namespace=msaas-drill
python=.venv/bin/python
keep=false
chart=false
drill=()

parse() {
  while (($#)); do
    case $1 in
      --no-build) build=false ;;
      --keep) keep=true ;;
      --chart) chart=true ;;
      *) drill+=("$1") ;;
    esac
    shift
  done
}

clean_up() {
  local status=$?
  trap - EXIT
  ((status == 0)) || "$cluster" run kubectl -n "$namespace" get pods -o wide || true
  if "$keep"; then echo "kept: $cluster down takes the cluster away"; else "$cluster" down; fi
  rm -rf "$LAB_FOLDER"
  exit "$status"
}

# The cluster starts, and takes the other images, while the worker's, which is the largest, is built.
prepare() {
  start_cluster &
  local beside=$!
  if "$build"; then build_small; fi
  wait "$beside" || die 'the cluster does not start'
  load_small &
  beside=$!
  if "$build"; then lab_images smoke worker; fi
  wait "$beside" || die 'the cluster does not take the images'
  load msaas-worker:smoke docker.io/library/msaas-worker:smoke
}

start_cluster() {
  { "$cluster" up && "$cluster" keda; } >"$LAB_FOLDER/up.log" 2>&1 || { cat "$LAB_FOLDER/up.log" && return 1; }
}

build_small() {
  lab_base localhost/msaas-standin/redis:bookworm redis-server
  lab_program seaweedfs:4 "$("$python" -c 'from msaas.local.servers import weed_binary as b; print(b())')" 'RUN mkdir -p /data'
  lab_images smoke rest
  lab_images smoke logs
}

# Under the names that the manifests give them: a stand-in answers to the digest of what it stands for.
load_small() {
  local rendered=$LAB_FOLDER/rendered.yaml
  .venv/bin/kubectl kustomize deploy/overlays/cluster-test >"$rendered"
  load msaas-rest:smoke docker.io/library/msaas-rest:smoke
  load msaas-logs:smoke docker.io/library/msaas-logs:smoke
  load msaas-standin/redis:bookworm "$(pinned "$rendered" /redis:)"
  load msaas-standin/seaweedfs:4 "$(pinned "$rendered" /seaweedfs:)"
}

# pinned FILE NAME: the image with that in its name, without its tag.
pinned() { sed -nE "s|^ *image: (.*$2.*)\$|\1|p" "$1" | head -1 | sed -E 's/:[^:@]*@/@/'; }

load() {
  buildah push --quiet "localhost/$1" "docker-archive:$LAB_FOLDER/image.tar"
  "$cluster" load "$2" "$LAB_FOLDER/image.tar" 2>>"$LAB_FOLDER/up.log"
  rm "$LAB_FOLDER/image.tar"
}

install() {
  local key entry
  { read -r key && read -r entry; } < <("$python" -m msaas.cli keys new drill 2>/dev/null)
  export MSAAS_API_KEY=$key
  "$cluster" run kubectl create namespace "$namespace"
  "$cluster" run kubectl -n "$namespace" create secret generic msaas-api-keys --from-literal=keys="$entry"
  "$cluster" run ./deploy-all.sh --overlay cluster-test --namespace "$namespace" --tag smoke --no-build
}

# --- the Helm chart

read -ra helm_command <<<"${HELM:-.venv/bin/helm}"
helm() { "$cluster" run "${helm_command[@]}" "$@" --namespace "$namespace"; }

# What deploy/overlays/cluster-test has.
install_chart() {
  local key entry
  { read -r key && read -r entry; } < <("$python" -m msaas.cli keys new drill 2>/dev/null)
  export MSAAS_API_KEY=$key
  "$cluster" run kubectl create namespace "$namespace"
  "$cluster" run kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted
  "$cluster" run kubectl -n "$namespace" create secret generic msaas-api-keys --from-literal=keys="$entry"
  "$python" deploy/tools/make-chart.py --out "$LAB_FOLDER"
  helm install msaas "$LAB_FOLDER/msaas" --wait --timeout 15m --set image.tag=smoke --set storage=seaweedfs \
    --set settings.MSAAS_MODEL=htdemucs_mini --set worker.resources.limits.cpu=1 \
    --set components.production=true --set components.keda=true --set components.priorities=true \
    --set components.limits=true --set worker.minReplicas=1 --set worker.maxReplicas=2
}

# during SONG COMMAND: while the song is separated. Both must succeed.
during() {
  "$cluster" run "$python" deploy/tools/smoke_client.py "$url" "$1" &
  local client=$!
  shift
  sleep 3
  "$@"
  wait "$client" || die "the song did not come through: $*"
}

check_chart() {
  say 'the chart: installing' && install_chart
  url=http://$(address)
  say 'a song during an update'
  during data/the-slow-river.mp3 helm upgrade msaas "$LAB_FOLDER/msaas" --reuse-values --wait --timeout 15m --set settings.MSAAS_LOG_LEVEL=debug
  say 'a song during a rollback'
  during data/harbour-lights.mp3 helm rollback msaas 1 --wait --timeout 15m
  say 'uninstalling'
  helm uninstall msaas --wait --timeout 10m
  "$cluster" run kubectl -n "$namespace" get persistentvolumeclaims,secrets
}

# --- the drill

address() {
  "$cluster" run kubectl -n "$namespace" get service rest-server -o 'jsonpath={.spec.clusterIP}:{.spec.ports[0].port}'
}

check_drill() {
  say 'installing' && install
  say 'the drill'
  "$cluster" run deploy/tools/cluster-drill.py --namespace "$namespace" --url "http://$(address)" \
    --power-off "$cluster stop" --power-on "$cluster start" --faults all,restore "${drill[@]}"
}

main() {
  parse "$@"
  ((EUID == 0)) || die 'building images and starting nodes here needs root'
  [[ -x .venv/bin/kubectl && -x $python ]] || die 'no .venv with the [dev] extra: make check sets it up'
  trap clean_up EXIT
  say 'cluster and images' && lab_setup && prepare
  if "$chart"; then check_chart; else check_drill; fi
  say "cluster-test: passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
}

main "$@"
