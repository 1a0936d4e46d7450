#!/usr/bin/env bash
# For working on the code: Redis and MinIO in the cluster that kubectl points at, their ports here (6379, 9000, 9001)
# and kept up, API and worker from source. Ctrl-C takes them down again; their volumes stay for the next time.
#
#   ./deploy-local-dev.sh [--keep | --purge] [--ports REDIS,S3,CONSOLE] [--timeout SECONDS]
#
#   --ports    others than 6379,9000,9001, where those are taken
#   --keep     leave Redis and MinIO running in the cluster on Ctrl-C
#   --purge    remove their volumes too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

namespace=msaas-dev overlay=deploy/overlays/local-dev timeout=300 leave=down
redis_port=6379 s3_port=9000 console_port=9001
forwarded=''

die() {
  echo "deploy-local-dev: $*" >&2
  exit 1
}

parse() {
  while (($#)); do
    case $1 in
      --keep) leave=keep ;;
      --purge) leave=purge ;;
      --ports) IFS=, read -r redis_port s3_port console_port <<<"${2:?--ports needs three}" && shift ;;
      --timeout) timeout=${2:?--timeout needs seconds} && shift ;;
      -h | --help) sed -n '2,10p' "${BASH_SOURCE[0]}" | sed -E 's/^# ?//' && exit 0 ;;
      *) die "unknown argument $1; --help tells what there is" ;;
    esac
    shift
  done
}

check() {
  command -v kubectl >/dev/null || die 'kubectl is not installed: https://kubernetes.io/docs/tasks/tools/'
  kubectl get namespaces >/dev/null 2>&1 || die 'kubectl reaches no cluster; kubectl config use-context NAME picks one'
  local port
  for port in "$redis_port" "$s3_port" "$console_port"; do
    [[ $port =~ ^[0-9]+$ ]] || die '--ports takes three numbers: REDIS,S3,CONSOLE'
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is taken on this machine; --ports names others"
  done
}

apply() {
  kubectl apply -k "$overlay"
  kubectl -n "$namespace" rollout status statefulset/redis --timeout="${timeout}s"
  kubectl -n "$namespace" rollout status statefulset/minio --timeout="${timeout}s"
}

# A port-forward ends whenever its pod or the connection does. One shell looks after both: of its children none is left.
keep_forwarding() {
  local redis='' minio=''
  while true; do
    if ! running "$redis"; then
      forward redis "$redis_port:6379" && redis=$!
    fi
    if ! running "$minio"; then
      forward minio "$s3_port:9000" "$console_port:9001" && minio=$!
    fi
    # A signal is heard in `wait`, not in `sleep`.
    sleep 1 &
    wait $! || true
  done
}

running() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

forward() {
  local service=$1
  shift
  case $forwarded in *" $service "*) echo "the forward to $service dropped; starting it again" >&2 ;; esac
  forwarded+=" $service "
  kubectl -n "$namespace" port-forward "service/$service" "$@" >/dev/null 2>&1 &
}

clean_up() {
  trap - EXIT INT TERM
  echo
  # shellcheck disable=SC2046 # one word a child
  kill $(jobs -p) 2>/dev/null || true
  wait
  case $leave in
    keep) echo "Redis and MinIO go on in the namespace $namespace" ;;
    purge) kubectl delete namespace "$namespace" --ignore-not-found ;;
    down)
      kubectl -n "$namespace" delete statefulsets,services,secrets -l app.kubernetes.io/part-of=msaas --ignore-not-found
      echo "the volumes are kept in the namespace $namespace; --purge removes them"
      ;;
  esac
}

tell() {
  # What API and worker take for granted need not be said.
  local where=''
  [[ $redis_port == 6379 ]] || where+="REDIS_HOST=localhost:$redis_port "
  [[ $s3_port == 9000 ]] || where+="MINIO_HOST=localhost:$s3_port "
  cat <<END

Redis is on localhost:$redis_port, MinIO on localhost:$s3_port, its console on http://localhost:$console_port
(minioadmin, minioadmin). In two other shells:

  ${where}python rest/rest-server.py
  ${where}python worker/worker-server.py

Ctrl-C here ends it.
END
}

main() {
  parse "$@"
  check
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap clean_up EXIT
  apply
  tell
  keep_forwarding
}

main "$@"
