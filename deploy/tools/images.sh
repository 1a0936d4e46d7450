#!/usr/bin/env bash
# Builds the three images from the repository's root, and prints their sizes.
#
#   images.sh [--engine docker|podman|buildah] [--registry HOST/PATH] [--tag TAG] [--weights MODEL|none]
#             [--torch-index URL] [--only rest|worker|logs] [--weights-only MODEL] [--push] [-- ARGUMENT FOR THE BUILD ...]
#
# Without --engine the first that is installed. --weights is the model baked into the worker (htdemucs by default);
# where it cannot be had, the build fails; `none` leaves it to the worker's start. --weights-only builds an image of the
# model alone, msaas-weights, from the worker's image of that tag (deploy/components/weights-image). CUDA:
#   images.sh --only worker --tag 0.1.0-cuda --torch-index https://download.pytorch.org/whl/cu130
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

engine='' registry='' weights=htdemucs torch_index='' push=false
tag=$(sed -nE 's/^__version__ = "(.*)"$/\1/p' src/msaas/__init__.py)
components=(rest worker logs)
extra=()

die() {
  echo "images: $*" >&2
  exit 2
}

parse() {
  while (($#)); do
    case $1 in
      --engine) engine=${2:?} && shift 2 ;;
      --registry) registry=${2:?}/ && shift 2 ;;
      --tag) tag=${2:?} && shift 2 ;;
      --weights) weights=${2:?} && shift 2 ;;
      --torch-index) torch_index=${2:?} && shift 2 ;;
      --only) components=("${2:?}") && shift 2 ;;
      --weights-only) components=(weights) weights=${2:?} && shift 2 ;;
      --push) push=true && shift ;;
      --) shift && extra=("$@") && break ;;
      *) die "unknown argument $1; $(sed -n '4,5p' "${BASH_SOURCE[0]}" | tr -d '#')" ;;
    esac
  done
}

find_engine() {
  [[ -n $engine ]] && return
  for engine in docker podman buildah; do
    "$engine" version >/dev/null 2>&1 && return
  done
  die 'no docker, podman or buildah that works; install one of them'
}

build() {
  local component=$1 image=$2
  local arguments=(--file "$component/Dockerfile" --tag "$image")
  if [[ $component == weights ]]; then
    arguments=(--file worker/weights.Dockerfile --tag "$image")
    arguments+=(--build-arg "WEIGHTS=$weights" --build-arg "WORKER_IMAGE=${registry}msaas-worker:$tag")
  fi
  if [[ $component == worker ]]; then
    arguments+=(--build-arg "WEIGHTS=$weights")
    [[ -n $torch_index ]] && arguments+=(--build-arg "TORCH_INDEX=$torch_index")
  fi
  # The published format of OCI has no health check: docker's has, and the Dockerfiles carry one.
  [[ $engine == docker ]] || arguments+=(--format docker)
  echo "building $image"
  "$engine" build "${arguments[@]}" "${extra[@]}" .
}

bytes_of() {
  case $engine in
    buildah) buildah inspect --type image --format '{{.FromImageID}}' "$1" >/dev/null && buildah images --json "$1" | sed -nE 's/.*"size": "(.*)".*/\1/p' ;;
    *) "$engine" image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB\n", $1 / 1e6 }' ;;
  esac
}

main() {
  parse "$@"
  find_engine
  local component
  for component in "${components[@]}"; do
    build "$component" "${registry}msaas-$component:$tag"
    if "$push"; then "$engine" push "${registry}msaas-$component:$tag"; fi
  done
  [[ ${components[0]} == weights ]] || deploy/tools/sbom.sh sbom "${components[@]}" || echo 'images: built, but what they hold was not listed' >&2
  for component in "${components[@]}"; do
    printf '%-40s %s\n' "${registry}msaas-$component:$tag" "$(bytes_of "${registry}msaas-$component:$tag")"
  done
}

main "$@"
