#!/usr/bin/env bash
# Installs MSaaS in the cluster that kubectl points at: checks, builds or pulls, applies, waits, says what to do next.
# Running it again is harmless.
#
#   ./deploy-all.sh [--overlay NAME] [--namespace NAME] [--registry HOST/PATH] [--tag TAG] [--build | --no-build]
#                   [--weights MODEL|none] [--timeout SECONDS] [--dry-run] [--down [--purge]]
#
#   --overlay     deploy/overlays/NAME, or a folder of your own (default: deploy/base, everything)
#   --namespace   where to (default: msaas)
#   --registry    where the images are pulled from; with --build they are pushed there first
#   --tag         their tag (default: this release)
#   --build       build the images here; the default for kind and minikube, into which they are loaded
#   --weights     the model baked into the worker's image, or into one of its own with weights-image; `none` lets the worker
#                 fetch it (default: htdemucs)
#   --dry-run     change nothing: check, render, and print what would be done
#   --down        remove everything but the volumes and the Secrets; --purge removes those as well
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

overlay=deploy/base namespace=msaas registry='' tag='' weights=htdemucs timeout=900
build=auto dry_run=false down=false purge=false
look_seconds=5 deadline=0 said='' began=''
version=$(sed -nE 's/^__version__ = "(.*)"$/\1/p' src/msaas/__init__.py)
work=''

usage() { sed -n '2,16p' "${BASH_SOURCE[0]}" | sed -E 's/^# ?//'; }

die() {
  echo "deploy-all: $*" >&2
  exit 1
}

say() { printf '\n== %s\n' "$*"; }

# Runs a command that changes something; prints it instead where nothing is to change.
run() {
  if "$dry_run"; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

parse() {
  while (($#)); do
    case $1 in
      --overlay) overlay=${2:?--overlay needs a name} && shift ;;
      --namespace) namespace=${2:?--namespace needs a name} && shift ;;
      --registry) registry=${2:?--registry needs an address} && shift ;;
      --tag) tag=${2:?--tag needs a tag} && shift ;;
      --weights) weights=${2:?--weights needs a model} && shift ;;
      --timeout) timeout=${2:?--timeout needs seconds} && shift ;;
      --build) build=true ;;
      --no-build) build=false ;;
      --dry-run) dry_run=true ;;
      --down) down=true ;;
      --purge) purge=true ;;
      -h | --help) usage && exit 0 ;;
      *) usage >&2 && die "unknown argument $1" ;;
    esac
    shift
  done
  [[ $overlay == */* ]] || overlay=deploy/overlays/$overlay
  [[ $namespace =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || die "$namespace is no name for a namespace"
}

# --- checks: everything that is missing, at once

check() {
  local missing=()
  # The kubectl that the tests bring renders just as well, and speaks to clusters too.
  command -v kubectl >/dev/null || PATH+=:$PWD/.venv/bin
  command -v kubectl >/dev/null || missing+=('kubectl is not installed: https://kubernetes.io/docs/tasks/tools/')
  [[ -f $overlay/kustomization.yaml ]] || missing+=("$overlay has no kustomization.yaml; there are: $(overlays)")
  if ! "$dry_run" && command -v kubectl >/dev/null; then
    kubectl get namespaces >/dev/null 2>&1 ||
      missing+=("kubectl reaches no cluster (context: $(context)); kubectl config use-context NAME picks one")
  fi
  if ((${#missing[@]})); then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 1
  fi
}

# What the rendered objects need of the cluster beyond Kubernetes itself.
check_kinds() {
  local group
  for group in keda.sh monitoring.coreos.com gateway.networking.k8s.io; do
    grep -q "^apiVersion: $group/" "$work/all.yaml" || continue
    "$dry_run" && echo "needs: the API $group in the cluster" && continue
    [[ -n $(kubectl api-resources --api-group="$group" -o name 2>/dev/null) ]] ||
      die "the cluster does not know $group, which $overlay uses; docs/kubernetes.md says how to install it"
  done
}

# Secrets that cannot be made up here: keys for the API are yours to hand out, those of a store from elsewhere its own.
check_secrets() {
  if uses_secret msaas-api-keys; then
    need_secret msaas-api-keys 'keys=…' 'msaas keys new makes a key and its entry'
  fi
  if ! has StatefulSet minio; then
    need_secret msaas-minio 'access-key=… --from-literal=secret-key=…' 'the keys of the store that MINIO_HOST names'
  fi
}

uses_secret() { grep -q "^ *name: $1\$" "$work/all.yaml"; }

# need_secret NAME LITERALS WHY: it is there, or is part of the overlay.
need_secret() {
  if has Secret "$1"; then return; fi
  local command="kubectl -n $namespace create secret generic $1 --from-literal=$2"
  if "$dry_run"; then
    echo "needs: the Secret $1 ($3): $command"
  else
    secret_is_there "$1" || die "$overlay needs the Secret $1 ($3):
  kubectl create namespace $namespace
  $command"
  fi
}

secret_is_there() { kubectl -n "$namespace" get secret "$1" >/dev/null 2>&1; }

overlays() {
  local folder names=()
  for folder in deploy/overlays/*/; do names+=("$(basename "$folder")"); done
  echo "${names[*]}"
}

context() { kubectl config current-context 2>/dev/null || echo none; }

# --- images

decide_build() {
  [[ $build == auto ]] || return 0
  build=false
  case $(context) in
    kind-* | minikube) [[ -n $registry ]] || build=true ;;
  esac
}

build_images() {
  local arguments=() baked=$weights
  [[ -z $registry ]] || arguments+=(--registry "$registry" --push)
  [[ -z $tag ]] || arguments+=(--tag "$tag")
  if uses_weights_image || has Job weights; then baked=none; fi
  run deploy/tools/images.sh --weights "$baked" "${arguments[@]}"
  if uses_weights_image; then run deploy/tools/images.sh --weights-only "$weights" "${arguments[@]}"; fi
  [[ -n $registry ]] || load_images
}

load_images() {
  local part image where parts=(rest worker logs)
  where=$(context)
  if uses_weights_image; then parts+=(weights); fi
  for part in "${parts[@]}"; do
    image=msaas-$part:${tag:-$version}
    case $where in
      kind-*) run kind load docker-image --name "${where#kind-}" "$image" ;;
      minikube) run minikube image load "$image" ;;
      *) echo "$image is on this machine only: the cluster's nodes have to find it (--registry)" ;;
    esac
  done
}

uses_weights_image() { grep -qE '^ *reference: .*msaas-weights' "$work/all.yaml"; }

# --- objects

# The overlay with this call's namespace and images, as one file. Beside the overlays, since kustomize reads no
# absolute paths.
render() {
  work=$(mktemp -d deploy/.deploy-all-XXXXXX)
  trap 'rm -rf "$work"' EXIT
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: %s\n' "$namespace"
    printf 'resources: [../../%s]\n' "${overlay#./}"
    images
  } >"$work/kustomization.yaml"
  kubectl kustomize "$work" >"$work/rendered.yaml" || die "$overlay cannot be rendered; is kubectl older than 1.27?"
  # KEDA asks from its own namespace, by Redis' full name.
  sed "s/redis\.msaas\.svc/redis.$namespace.svc/" "$work/rendered.yaml" >"$work/all.yaml"
}

images() {
  [[ -n $registry$tag ]] || return 0
  local part
  echo 'images:'
  for part in rest worker logs weights; do
    printf '  - name: msaas-%s\n' "$part"
    [[ -z $registry ]] || printf '    newName: %s/msaas-%s\n' "$registry" "$part"
    [[ -z $tag ]] || printf '    newTag: "%s"\n' "$tag"
  done
}

apply() {
  # The namespace first, since the Secrets go into it; the pods last, since they read them.
  document Namespace >"$work/namespace.yaml"
  run kubectl apply -f "$work/namespace.yaml"
  if has StatefulSet minio; then make_secret msaas-minio access-key secret-key; fi
  if has StatefulSet redis; then make_secret msaas-redis password; fi
  if uses_secret msaas-callback-secrets; then make_secret msaas-callback-secrets secrets; fi
  # A finished Job of an older release cannot be changed.
  run kubectl -n "$namespace" delete job minio-buckets weights backup-claim backup-songs-claim --ignore-not-found
  began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  run kubectl apply -f "$work/all.yaml"
}

# document KIND [NAME]: those rendered.
document() {
  awk -v kind="$1" -v name="${2:-}" 'BEGIN { RS = "---\n"; ORS = "---\n" }
    tolower("\n" $0) ~ "\nkind: " tolower(kind) "\n" && (name == "" || $0 ~ "\n  name: " name "\n")' "$work/all.yaml"
}

has() { [[ -n $(document "$@") ]]; }

# Keys made up once, and kept: a second run, or your own Secret of that name, changes nothing.
make_secret() {
  local name=$1 key literals=()
  shift
  if has Secret "$name"; then return; fi
  if ! "$dry_run" && secret_is_there "$name"; then return; fi
  for key in "$@"; do literals+=("--from-literal=$key=$(made_up "$name")"); done
  if "$dry_run"; then
    echo "would run: kubectl -n $namespace create secret generic $name (random $*), unless there is one"
  else
    kubectl -n "$namespace" create secret generic "$name" "${literals[@]}"
  fi
}

made_up() {
  case $1 in
    # As Standard Webhooks has them.
    msaas-callback-secrets) printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" ;;
    *) head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' ;;
  esac
}

# --- waiting

wait_until_ready() {
  local what
  deadline=$((SECONDS + timeout))
  shopt -s extglob
  for what in statefulset/redis statefulset/minio deployment/rest-server deployment/logs deployment/worker; do
    has "${what%/*}" "${what#*/}" || continue
    if "$dry_run"; then
      echo "would wait for $what"
    else
      wait_for "$what"
    fi
  done
  remove_old_names
}

# Before 0.2 the API's objects were named rest; another Deployment of that name would go on running beside the new one.
remove_old_names() {
  run kubectl -n "$namespace" delete --ignore-not-found \
    deployment/rest ingress/rest poddisruptionbudget/rest networkpolicy/rest
}

# wait_for KIND/NAME: until it is ready. Looks every five seconds at what keeps any pod from coming up and says it once.
# What does not heal by waiting ends the installation if it is still there at the next look.
wait_for() {
  local line key lost=''
  until kubectl -n "$namespace" rollout status "$1" --timeout="${look_seconds}s" >/dev/null 2>&1; do
    while IFS= read -r line; do
      [[ -n $line ]] || continue
      key=$(key_of "$line")
      [[ $said == *"$key"* ]] || printf '%s\n' "$line" >&2
      said+=$key
      if hopeless "$line"; then
        [[ $lost != *"$key"* ]] || give_up "$1" 'what is said above does not heal by waiting'
        lost+=$key
      fi
    done < <(obstacles)
    ((SECONDS < deadline)) || give_up "$1" "not ready after $timeout s"
  done
  echo "$1 is ready"
}

# key_of LINE: its object and reason, under which it is said once. Kubernetes words the failure of a pull in two ways.
key_of() {
  local object=${1%%: *} reason=${1#*: }
  reason=${reason%%: *}
  printf '<%s %s>' "$object" "${reason/#@(ErrImagePull|ImagePullBackOff)/image}"
}

# One line for each thing that keeps a pod or a claim from coming up: OBJECT: REASON: KUBERNETES' OWN SENTENCE (what to do).
obstacles() {
  {
    kubectl -n "$namespace" get pods -l app.kubernetes.io/part-of=msaas -o go-template="$pod_template"
    kubectl -n "$namespace" get events --field-selector reason=FailedCreate -o go-template="${event_template/BEGAN/$began}"
    kubectl -n "$namespace" get persistentvolumeclaims -o go-template="$claim_template"
  } 2>/dev/null | sort -u | while IFS=$'\t' read -r object reason message; do
    [[ -z $object ]] || printf '%s: %s: %s%s\n' "$object" "$reason" "${message//$'\n'/ }" "$(advice "$reason" "$message")"
  done
}

# Go templates, one line for each finding: object, reason and message between tabs.
# shellcheck disable=SC2016
pod_template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{$pod := .metadata.name}}
{{- range .status.conditions}}{{if and (eq .type "PodScheduled") (eq .status "False")}}pod/{{$pod}}{{"\t"}}{{.reason}}{{"\t"}}{{.message}}
{{end}}{{end}}{{range .status.initContainerStatuses}}{{if .state.waiting}}{{if .state.waiting.message}}pod/{{$pod}}{{"\t"}}{{.state.waiting.reason}}{{"\t"}}{{.state.waiting.message}}
{{end}}{{end}}{{end}}{{range .status.containerStatuses}}{{if .state.waiting}}{{if .state.waiting.message}}pod/{{$pod}}{{"\t"}}{{.state.waiting.reason}}{{"\t"}}{{.state.waiting.message}}
{{end}}{{end}}{{end}}{{end}}{{end}}'
event_template='{{range .items}}{{if .lastTimestamp}}{{if ge .lastTimestamp "BEGAN"}}{{.involvedObject.kind}}/{{.involvedObject.name}}{{"\t"}}{{.reason}}{{"\t"}}{{.message}}
{{end}}{{end}}{{end}}'
claim_template='{{range .items}}{{if and (eq .status.phase "Pending") (not .spec.storageClassName)}}claim/{{.metadata.name}}{{"\t"}}Unbound{{"\t"}}the claim names no StorageClass, and the cluster has no default one
{{end}}{{end}}'

# hopeless LINE: whether waiting does not mend it. A full node may get room, a crashed container may start.
hopeless() {
  case $1 in
    *': ErrImageNeverPull: '* | *': InvalidImageName: '* | *': CreateContainerConfigError: '* | *': Unbound: '*) true ;;
    *': ErrImagePull: '* | *': ImagePullBackOff: '*) [[ $1 =~ 'not found'|'not present'|denied|unauthorized|forbidden ]] ;;
    *': FailedCreate: '*) [[ $1 =~ 'exceeded quota'|PodSecurity|forbidden ]] ;;
    *) false ;;
  esac
}

# advice REASON MESSAGE: what to do about it, in brackets.
advice() {
  case $1 in
    ErrImage* | ImagePull* | InvalidImageName)
      echo " (is there such an image? --tag and --registry choose it; --build makes it)"
      ;;
    CreateContainerConfigError) echo ' (add what is missing: kubectl create secret, or delete the Secret and run this again)' ;;
    Unschedulable)
      [[ $2 == *PersistentVolumeClaim* ]] || echo ' (it needs a larger or an emptier node, or smaller requests in the overlay)'
      ;;
    FailedCreate)
      case $2 in
        *quota*) echo ' (raise the ResourceQuota, or ask for less in the overlay)' ;;
        *PodSecurity*) echo " (the namespace's pod-security labels refuse it)" ;;
      esac
      ;;
    Unbound) echo ' (make a StorageClass the default, or name one in the overlay: docs/kubernetes.md)' ;;
    CrashLoopBackOff) echo " (kubectl -n $namespace logs --previous shows why)" ;;
  esac
}

# give_up KIND/NAME REASON
give_up() {
  local name=${1#*/}
  kubectl -n "$namespace" get pods -l "app.kubernetes.io/name=$name" >&2 || true
  kubectl -n "$namespace" logs -l "app.kubernetes.io/name=$name" --tail=20 >&2 || true
  die "$1: $2"
}

next_steps() {
  cat <<END

MSaaS is up in the namespace $namespace. To reach it from here:

  kubectl -n $namespace port-forward service/rest-server 5000:5000

and, in another shell:

  curl -F file=@data/the-slow-river.mp3 http://localhost:5000/apiv1/separate
  curl http://localhost:5000/apiv1/jobs/<songhash>
  curl -o vocals.mp3 http://localhost:5000/apiv1/track/<songhash>-vocals

  kubectl -n $namespace logs -f deployment/logs       every part's lines
  ./deploy-all.sh --down --overlay $overlay --namespace $namespace
END
  if uses_secret msaas-api-keys; then echo "
Each call needs a key of msaas-api-keys: curl -H 'Authorization: Bearer msaas_…' …"; fi
}

# --- down

# Volumes are songs, Secrets are what they are read with: they stay unless asked for.
take_down() {
  if "$purge"; then
    run kubectl delete namespace "$namespace" --ignore-not-found
    return
  fi
  local kinds=deployments,statefulsets,jobs,services,ingresses,configmaps,networkpolicies,poddisruptionbudgets
  kinds+=,cronjobs,horizontalpodautoscalers,resourcequotas,limitranges
  if grep -q '^apiVersion: keda.sh/' "$work/all.yaml"; then kinds=scaledobjects.keda.sh,triggerauthentications.keda.sh,$kinds; fi
  if grep -q '^apiVersion: monitoring.coreos.com/' "$work/all.yaml"; then
    local group=monitoring.coreos.com
    kinds=servicemonitors.$group,podmonitors.$group,prometheusrules.$group,$kinds
  fi
  if grep -q '^apiVersion: gateway.networking.k8s.io/' "$work/all.yaml"; then
    kinds=httproutes.gateway.networking.k8s.io,$kinds
  fi
  run kubectl -n "$namespace" delete "$kinds" -l app.kubernetes.io/part-of=msaas --ignore-not-found
  echo "the volumes and Secrets of $namespace are kept; --down --purge removes them too"
}

main() {
  parse "$@"
  check
  say "rendering $overlay" && render
  grep -E '^kind:' "$work/all.yaml" | sort | uniq -c
  if "$down"; then
    say "taking down $namespace" && take_down
    return
  fi
  check_kinds
  check_secrets
  decide_build
  if "$build"; then say 'images' && build_images; fi
  say "applying to $namespace" && apply
  say 'waiting until ready' && wait_until_ready
  if "$dry_run"; then say 'nothing was changed'; else next_steps; fi
}

main "$@"
