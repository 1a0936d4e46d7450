#!/usr/bin/env bash
# Containers on a Debian machine where no image registry can be reached: stand-in base images, builds, podman.
# Sourced by container-smoke.sh, compose-smoke.sh and cluster-test.sh. A stand-in is Debian with the packages named, not
# the published image: it shows that a Dockerfile and a manifest work, not which versions the published base brings.

LAB_FOLDER=${LAB_FOLDER:?the caller names a folder for its files}
LAB_STORE=${LAB_STORE:-/var/lib/msaas-lab}
export CONTAINERS_CONF=$LAB_FOLDER/containers.conf CONTAINERS_STORAGE_CONF=$LAB_FOLDER/storage.conf

# --- what the smoke tests have in common

song=data/the-slow-river.mp3
build=true

say() { printf '\n== %s\n' "$*"; }

die() {
  echo "$(basename "$0" .sh): $*" >&2
  exit 1
}

# parse_smoke [--no-build] [SONG]: sets build and song of the script that sources this.
# shellcheck disable=SC2034
parse_smoke() {
  while (($#)); do
    case $1 in
      --no-build) build=false ;;
      -*) die "unknown argument $1" ;;
      *) song=$1 ;;
    esac
    shift
  done
}

# --- containers

lab_setup() {
  local package missing=()
  for package in buildah podman runc catatonit netavark aardvark-dns containernetworking-plugins iptables debootstrap; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  if ((${#missing[@]})); then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  # The one driver that works on top of any file system, at the price of a copy for each layer. In a store of its own:
  # podman holds on to the driver that a store was first used with.
  cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "vfs"
graphroot = "$LAB_STORE"
runroot = "/run/msaas-lab/$(printf %s "$LAB_STORE" | cksum | cut -d ' ' -f 1)"
CONF
  # Without CAP_SYS_RESOURCE a runtime cannot raise limits: it asks for no more than this shell has.
  # runc accepts hybrid control groups, crun does not.
  cat >"$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
CONF
}

# lab_base IMAGE PACKAGE ...: a stand-in under this name, unless there is one.
lab_base() {
  local image=$1
  shift
  podman image exists "$image" && return
  echo "making the stand-in $image"
  local root=$LAB_FOLDER/base packages=$*
  mkdir -p "$root"
  debootstrap --variant=minbase --include="ca-certificates,${packages// /,}" bookworm "$root/fs" >"$root/log" 2>&1 || {
    tail -5 "$root/log" >&2
    return 1
  }
  # What this machine trusts, the build has to trust as well.
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/fs/etc/ssl/certs/ca-certificates.crt"
  [[ ! -e $root/fs/usr/bin/python3 ]] || ln -sf python3 "$root/fs/usr/bin/python"
  tar -C "$root/fs" -cf "$root/fs.tar" .
  printf 'FROM scratch\nADD fs.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' >"$root/Dockerfile"
  buildah build --quiet --isolation chroot -t "$image" -f "$root/Dockerfile" "$root"
  rm -rf "$root"
}

# lab_program NAME:TAG BINARY [LINES]: a stand-in with one more program of this machine, unless there is one.
lab_program() {
  local image=localhost/msaas-standin/$1 binary=$2 more=${3:-} folder=$LAB_FOLDER/store
  podman image exists "$image" && return
  mkdir -p "$folder"
  cp "$binary" "$folder/"
  printf 'FROM localhost/msaas-standin/redis:bookworm\nCOPY %s /usr/bin/\n%s\nWORKDIR /data\n' \
    "$(basename "$binary")" "$more" >"$folder/Dockerfile"
  buildah build --quiet --isolation chroot --pull-never -t "$image" -f "$folder/Dockerfile" "$folder"
  rm -rf "$folder"
}

# lab_images TAG [COMPONENT]: our images, or one of them, as localhost/msaas-<component>:TAG, with htdemucs_mini.
lab_images() {
  local arguments python_image=localhost/msaas-standin/python:bookworm
  lab_base "$python_image" python3 python3-venv python3-pip
  mapfile -t arguments < <(lab_pip_arguments)
  # torch comes from where this machine's pip finds it: its own index may be out of reach.
  deploy/tools/images.sh --engine buildah --registry localhost --tag "$1" --weights htdemucs_mini ${2:+--only "$2"} -- \
    --isolation chroot --pull-never "${arguments[@]}" \
    --build-arg "PYTHON_IMAGE=$python_image" --build-arg TORCH_INDEX= >"$LAB_FOLDER/build.log" 2>&1 ||
    { tail -30 "$LAB_FOLDER/build.log" >&2 && return 1; }
  grep -E '^localhost/msaas-' "$LAB_FOLDER/build.log"
}

# lab_pip_arguments: this machine's pip settings as arguments for a build, one a line. They reach it as a secret file
# and, where they name folders of wheels, as read-only volumes; nothing of either stays in an image. An index on the
# disk is left out: its links may lead anywhere.
lab_pip_arguments() {
  local conf=$LAB_FOLDER/pip.conf key value word
  echo '[global]' >"$conf"
  for key in index-url find-links trusted-host proxy timeout; do
    value=$(pip_setting "$key")
    [[ -n $value && ! ($key == index-url && $value == file:*) ]] || continue
    echo "$key = $value" >>"$conf"
    for word in $value; do
      word=${word#file://}
      [[ ! -d $word ]] || printf '%s\n' --volume "$word:$word:ro"
    done
  done
  printf '%s\n' --secret "id=pipconf,src=$conf"
}

pip_setting() {
  "${PYTHON:-python3}" -m pip config list 2>/dev/null | sed -nE "s/^(global|install|:env:)\.$1='(.*)'\$/\2/p" | head -1
}
