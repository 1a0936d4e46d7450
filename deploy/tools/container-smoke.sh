#!/usr/bin/env bash
# Our images and manifests at work on one Debian machine, without a registry or a cluster: builds the images from
# stand-in bases, plays rest, worker, logs and Redis from deploy/overlays/container-smoke with podman, posts a song,
# gets four stems. Root; needs .venv with the package and its [dev] extra. It cleans up after itself; images stay, in
# /var/lib/msaas-lab (LAB_STORE names another folder), for the next time.
#
#   container-smoke.sh [--no-build] [SONG]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

LAB_FOLDER=$(mktemp -d)
# shellcheck source=deploy/tools/lab.sh
source deploy/tools/lab.sh

python=.venv/bin/python
rest=http://127.0.0.1:10500
worker=http://127.0.0.1:10808
overlay=deploy/.smoke-$$
needed_gib=20
s3_pid=''
pods=(redis-pod-0 rest-pod-0 worker-pod-0 logs-pod-0)

clean_up() {
  local status=$?
  trap - EXIT
  if ((status)) && [[ -s $LAB_FOLDER/play.yaml ]]; then show_logs; fi
  if [[ -s $LAB_FOLDER/play.yaml ]]; then remove_pods; fi
  podman secret rm msaas-minio msaas-redis >/dev/null 2>&1 || true
  if [[ -n $s3_pid ]]; then kill "$s3_pid" 2>/dev/null && wait "$s3_pid" || true; fi
  rm -rf "$LAB_FOLDER" "$overlay"
  exit "$status"
}

# By name: `kube down` leaves what a `kube play` that failed half-way has started.
remove_pods() {
  podman pod rm --force --ignore --time 5 "${pods[@]}" >/dev/null 2>&1 || true
}

show_logs() {
  local name
  for name in redis rest worker logs; do
    echo "-- $name" >&2
    podman logs --tail 30 "$name-pod-0-$name" >&2 || true
  done
}

start_s3() {
  local access=$1 secret=$2
  mkdir "$LAB_FOLDER/s3"
  "$python" deploy/tools/smoke_s3.py "$LAB_FOLDER/s3" "$access" "$secret" >"$LAB_FOLDER/s3.out" &
  s3_pid=$!
  wait_until 60 test -s "$LAB_FOLDER/s3.out" || die 'the S3 server did not come up'
}

# podman 4.3 cannot read the Secrets that it plays itself; those made beforehand are JSON of base64.
make_secrets() {
  printf '{"access-key": "%s", "secret-key": "%s"}' "$(encoded "$1")" "$(encoded "$2")" |
    podman secret create msaas-minio - >/dev/null
  printf '{"password": "%s"}' "$(encoded "$2")" | podman secret create msaas-redis - >/dev/null
}

encoded() { printf %s "$1" | base64 -w0; }

# The overlay, with what is known only now: the S3 server's address.
render() {
  mkdir "$overlay"
  cat >"$overlay/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: msaas
resources: [../overlays/container-smoke]
generatorOptions:
  disableNameSuffixHash: true
configMapGenerator:
  - name: msaas-settings
    behavior: merge
    literals: [MINIO_HOST=$(<"$LAB_FOLDER/s3.out")]
YAML
  .venv/bin/kubectl kustomize "$overlay" >"$LAB_FOLDER/play.yaml"
}

wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.5
  done
}

answers() { "$python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=9)' "$1" 2>/dev/null; }

ports_are_free() {
  "$python" -c 'import sys; from msaas.local.servers import ports_are_free as free; sys.exit(not free((10500, 10637, 10808)))'
}

room_enough() {
  mkdir -p "$LAB_STORE"
  local free_kib
  free_kib=$(df --output=avail "$LAB_STORE" | tail -1)
  ! "$build" || ((free_kib > needed_gib * 1024 * 1024))
}

# What the manifests promise about every container of ours holds in the running one.
check_container() {
  local component=$1 container
  container=$component-pod-0-$component
  [[ $(podman exec "$container" id -u) == 10001 ]] || die "$component does not run as user 10001"
  ! podman exec "$container" touch /app/written 2>/dev/null || die "$component can write to its root file system"
  podman exec "$container" touch /scratch/written || die "$component cannot write to /scratch"
  [[ $(podman exec "$container" sed -n 's/^CapEff:\t*//p' /proc/1/status) == 0000000000000000 ]] ||
    die "$component has capabilities"
  podman exec "$container" sh -c '! command -v gcc cc pip' >/dev/null || die "$component has a compiler or pip"
  printf '%-8s user 10001, root read-only, no capabilities, memory limit %s\n' "$component" \
    "$(podman inspect --format '{{.HostConfig.Memory}}' "$container")"
}

# The largest resident set of each process, added up (pages that processes share are counted in each), and the CPU
# time of all, of those that have ended too.
peak_memory() {
  local component=$1 cpu
  # Behind the name in brackets: user and system time, own and of ended children, in hundredths of a second.
  cpu=$(podman exec "$component-pod-0-$component" sh -c 'cat /proc/[0-9]*/stat' |
    sed 's/.*) //' | awk '{ sum += $12 + $13 + $14 + $15 } END { printf "%.1f", sum / 100 }')
  podman exec "$component-pod-0-$component" sh -c 'cat /proc/[0-9]*/status' |
    awk -v component="$component" -v cpu="$cpu" '
      /^Name:/ { name = $2 }
      /^VmHWM:/ && name !~ /^(sh|cat)$/ { sum += $2; list = list sprintf(" %s %.0f", name, $2 / 1024) }
      END { printf "%-8s %.0f MiB at most, %s s of CPU, by process:%s\n", component, sum / 1024, cpu, list }'
}

metric() {
  "$python" - "$1" "$2" <<'PY'
import sys, urllib.request as u
text = u.urlopen(sys.argv[1] + "/metrics", timeout=9).read().decode()
found = [line for line in text.splitlines() if line.startswith(sys.argv[2])]
sys.exit(not found or print("\n".join(found)))
PY
}

main() {
  parse_smoke "$@"
  ((EUID == 0)) || die 'building and playing containers here needs root'
  [[ -f $song ]] || die "$song is not there"
  [[ -x .venv/bin/kubectl && -x $python ]] || die 'no .venv with the [dev] extra: make check sets it up'
  room_enough || die "images and layers take $needed_gib GiB in $LAB_STORE; LAB_STORE names another folder"
  ports_are_free || die 'ports 10500, 10637 and 10808 have to be free'
  trap clean_up EXIT
  say 'tools' && lab_setup
  if "$build"; then say 'images' && lab_base localhost/msaas-standin/redis:bookworm redis-server && lab_images smoke; fi
  local access secret
  access=smoke$RANDOM secret=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  say 'S3 on the host' && start_s3 "$access" "$secret"
  remove_pods # of a run before this one that was killed
  say 'the manifests, played' && make_secrets "$access" "$secret" && render
  (ulimit -n 4096 && podman kube play --quiet "$LAB_FOLDER/play.yaml" >"$LAB_FOLDER/play.log" 2>&1) ||
    { cat "$LAB_FOLDER/play.log" && die 'podman cannot play them'; }
  # Generous: the machine may be busy with something else.
  wait_until 300 answers "$rest/readyz" || die 'the API is not ready within five minutes'
  wait_until 600 answers "$worker/readyz" || die 'the worker is not ready within ten minutes'
  local component
  for component in rest worker logs; do check_container "$component"; done
  say "a song: $song" && "$python" deploy/tools/smoke_client.py "$rest" "$song"
  say 'memory and CPU, start included'
  for component in redis rest worker logs; do peak_memory "$component"; done
  say 'metrics'
  metric "$rest" msaas_queue_ && metric "$rest" msaas_jobs_submitted_total && metric "$worker" msaas_jobs_ended_total &&
    metric "$worker" msaas_audio_seconds_total
  say 'the log printer'
  sleep 2
  podman logs logs-pod-0-logs >"$LAB_FOLDER/logs.txt" 2>&1
  grep -E 'submitted job=|finished job=|done -' "$LAB_FOLDER/logs.txt" || die 'the log printer missed the job'
  say 'container-smoke: passed'
}

main "$@"
