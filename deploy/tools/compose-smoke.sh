#!/usr/bin/env bash
# compose.yaml at work on one Debian machine, without a registry: builds the images from stand-in bases, starts
# everything with podman-compose, checks health and what each container may do, posts a song, gets four stems, restarts
# it and finds them again. Root; needs .venv with the [dev] extra. It cleans up after itself; images stay, in
# /var/lib/msaas-lab (LAB_STORE names another folder).
#
#   compose-smoke.sh [--no-build] [SONG]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

LAB_FOLDER=$(mktemp -d)
# shellcheck source=deploy/tools/lab.sh
source deploy/tools/lab.sh

python=.venv/bin/python
project=msaas-smoke-$$
port=10550
rest=http://127.0.0.1:$port

clean_up() {
  local status=$?
  trap - EXIT
  if ((status)); then show_logs; fi
  compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  rm -rf "$LAB_FOLDER"
  exit "$status"
}

show_logs() {
  local name
  for name in valkey s3 rest worker; do
    echo "-- $name" >&2
    podman logs --tail 30 "$(container "$name")" >&2 || true
  done
}

compose() {
  (ulimit -n 4096 && "$LAB_FOLDER/compose/bin/podman-compose" --project-name "$project" \
    --env-file "$LAB_FOLDER/.env" "$@")
}

container() { echo "${project}_$1_1"; }

install_compose() {
  python3 -m venv "$LAB_FOLDER/compose"
  "$LAB_FOLDER/compose/bin/pip" install --quiet --disable-pip-version-check 'podman-compose>=1.6,<2'
}

# The secrets as compose.sh makes them, and the images of this machine.
make_env() {
  local folder=$LAB_FOLDER/first
  mkdir -p "$folder/deploy/tools"
  cp deploy/tools/compose.sh "$folder/deploy/tools/"
  PATH=$LAB_FOLDER/compose/bin:$PATH "$folder/deploy/tools/compose.sh" version >/dev/null
  [[ $(stat -c %a "$folder/.env") == 600 ]] || die '.env can be read by others'
  cp "$folder/.env" "$LAB_FOLDER/.env"
  cat >>"$LAB_FOLDER/.env" <<ENV
MSAAS_REGISTRY=localhost/
MSAAS_TAG=smoke
MSAAS_PORT=$port
MSAAS_MODEL=htdemucs_mini
VALKEY_IMAGE=localhost/msaas-standin/valkey:9
SEAWEEDFS_IMAGE=localhost/msaas-standin/seaweedfs:4
ENV
}

# The servers of this machine's Python packages, on Debian: the programs that the published images have.
build_stores() {
  lab_base localhost/msaas-standin/redis:bookworm redis-server
  lab_program valkey:9 "$("$python" -c 'from msaas.local.servers import valkey_binary as b; print(b())')" \
    'RUN ln -s /usr/bin/redis-cli /usr/bin/valkey-cli'
  lab_program seaweedfs:4 "$("$python" -c 'from msaas.local.servers import weed_binary as b; print(b())')" \
    'RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends wget >/dev/null && mkdir -p /data'
}

wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 1
  done
}

# Podman starts health checks by systemd's timers, which are not everywhere: this runs them.
healthy() { podman healthcheck run "$(container "$1")" >/dev/null 2>&1; }

check_container() {
  local name
  name=$(container "$1")
  [[ $(podman exec "$name" id -u) == 10001 ]] || die "$1 does not run as user 10001"
  ! podman exec "$name" touch /app/written 2>/dev/null || die "$1 can write to its root file system"
  podman exec "$name" touch /scratch/written || die "$1 cannot write to /scratch"
  [[ $(podman exec "$name" sed -n 's/^CapEff:\t*//p' /proc/1/status) == 0000000000000000 ]] ||
    die "$1 has capabilities"
  echo "$1: user 10001, root read-only, no capabilities"
}

# Only the S3 port leaves the store's container, and only with the key; Valkey asks for its password.
check_stores() {
  podman exec "$(container rest)" python -c '
import socket, urllib.error, urllib.request
for port in (9333, 8080, 8888):
    with socket.socket() as probe:
        probe.settimeout(5)
        assert probe.connect_ex(("s3", port)), port
try:
    urllib.request.urlopen("http://s3:8333/input-tracks", timeout=9)
    raise SystemExit("the store answers without a key")
except urllib.error.HTTPError as error:
    assert error.code == 403, error.code
with socket.create_connection(("valkey", 6379), 9) as valkey:
    valkey.sendall(b"PING\r\n")
    assert valkey.recv(99).startswith(b"-NOAUTH"), "Valkey answers without a password"
print("stores: closed but for their ports, which ask for key and password")'
}

up() {
  compose up --detach --no-build >"$LAB_FOLDER/up.log" 2>&1 || { cat "$LAB_FOLDER/up.log" && die 'compose cannot start it'; }
  local service
  for service in valkey s3 rest worker; do
    wait_until 600 healthy "$service" || die "$service is not healthy"
    echo "$service: healthy"
  done
}

stored_objects() {
  "$python" -c 'import json, sys, urllib.request as u
found = json.load(u.urlopen(sys.argv[1] + "/apiv1/bucket", timeout=60))
print(len(found["input-tracks"]), len(found["output-tracks"]))' "$rest"
}

main() {
  parse_smoke "$@"
  ((EUID == 0)) || die 'building and playing containers here needs root'
  [[ -f $song && -x $python ]] || die 'no song, or no .venv with the [dev] extra: make check sets it up'
  trap clean_up EXIT
  say 'tools' && lab_setup && install_compose
  if "$build"; then say 'images' && lab_images smoke; fi
  build_stores
  make_env
  say 'compose.yaml, started' && up
  for service in rest worker; do check_container "$service"; done
  check_stores
  say "a song: $song" && "$python" deploy/tools/smoke_client.py "$rest" "$song"
  [[ $(stored_objects) == '1 4' ]] || die "the store has $(stored_objects) songs and stems"
  say 'down and up again: songs, stems and jobs stay' && compose down --timeout 30 >/dev/null 2>&1 && up
  [[ $(stored_objects) == '1 4' ]] || die "the store has $(stored_objects) songs and stems after a restart"
  "$python" deploy/tools/smoke_client.py "$rest" "$song"
  say 'compose-smoke: passed'
}

main "$@"
