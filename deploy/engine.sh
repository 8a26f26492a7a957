#!/bin/sh
# Make sure of a container engine on Debian: install it, start it, wait until it answers.
set -eu

if command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    echo "the container engine answers: $(docker info --format '{{.ServerVersion}}')"
    exit 0
fi

case "$(uname -s)" in
Linux) ;;
*)
    echo "start Docker Desktop (or another engine that speaks Docker's API), then try again" >&2
    exit 1
    ;;
esac

sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "this needs root: run 'make engine' as root" >&2
        exit 1
    fi
    sudo=sudo
fi

if ! command -v dockerd >/dev/null 2>&1 || ! command -v iptables >/dev/null 2>&1 ||
    ! command -v debootstrap >/dev/null 2>&1; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "this is no Debian: install Docker Engine by your system's own means, then try again" >&2
        exit 1
    fi
    echo "installing docker.io, iptables and debootstrap …"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        docker.io iptables debootstrap ca-certificates >/dev/null
fi

# Is it only that this user may not speak to it?
if $sudo docker info >/dev/null 2>&1; then
    if [ -n "$sudo" ]; then
        echo "an engine runs, but you may not use its socket: sudo usermod -aG docker $(id -un), then log in again" >&2
        exit 1
    fi
    exit 0
fi

if [ -d /run/systemd/system ]; then
    $sudo systemctl start docker
else
    echo "starting dockerd (its log: /var/log/dockerd.log) …"
    $sudo sh -c 'nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &'
fi

waited=0
until $sudo docker info >/dev/null 2>&1; do
    waited=$((waited + 1))
    if [ "$waited" -ge 60 ]; then
        echo "dockerd does not answer after 60 s; the last lines of its log:" >&2
        $sudo tail -n 5 /var/log/dockerd.log >&2 2>/dev/null || true
        exit 1
    fi
    sleep 1
done
echo "the container engine answers: $($sudo docker info --format '{{.ServerVersion}}')"
if [ -n "$sudo" ] && ! docker info >/dev/null 2>&1; then
    echo "you may not use its socket yet: sudo usermod -aG docker $(id -un), then log in again" >&2
    exit 1
fi
