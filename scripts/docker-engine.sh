#!/usr/bin/env bash
# Starts a Docker engine when none answers, and stops the one it started.
#
#   scripts/docker-engine.sh start FOLDER   exit 0 when an engine answers; FOLDER keeps what stop needs
#   scripts/docker-engine.sh stop FOLDER    ends the engine that start began, and removes its data
#
# An engine that was already there is left alone. Where dockerd is missing, Debian's docker.io is installed (as root), and
# where compose is missing in both its forms, Debian's docker-compose; packages stay, as any tool does. Nothing is written
# to stdout.
set -euo pipefail
exec >&2

command=${1:-}
folder=${2:-}
if [[ -z $folder || ($command != start && $command != stop) ]]; then
  echo 'usage: docker-engine.sh start|stop FOLDER'
  exit 2
fi

answers() { timeout 10 docker info >/dev/null 2>&1; }

# Version 2 is a command of docker, version 1.29 a program.
has_compose() { docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1; }

install_packages() {
  echo "docker: installing $*"
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 apt-get -qq update || return 1
  timeout 180 apt-get -qq install -y --no-install-recommends "$@" >/dev/null || return 1
}

start() {
  if answers; then
    echo 'docker: an engine answers already'
  else
    start_engine || return 1
  fi
  if has_compose; then return 0; fi
  # The engine is what was asked for: without compose only what needs it fails, and says so.
  if [[ $(id -u) != 0 ]]; then
    echo 'docker: neither docker compose nor docker-compose is there, and only root can install one'
  elif ! install_packages docker-compose; then
    echo 'docker: neither docker compose nor docker-compose is there, and docker-compose cannot be installed'
  fi
}

start_engine() {
  if [[ $(id -u) != 0 ]]; then
    echo 'docker: no engine answers, and only root can start one'
    return 1
  fi
  if ! command -v dockerd >/dev/null; then
    install_packages docker.io iptables || return 1
  fi
  if answers; then return 0; fi
  mkdir -p "$folder"
  # Its own session: a Ctrl-C at our caller must not end the engine before the containers are cleaned up.
  setsid dockerd --pidfile "$folder/pid" --data-root "$folder/data" --exec-root "$folder/exec" \
    >"$folder/log" 2>&1 </dev/null &
  for _ in $(seq 60); do
    if answers; then
      echo 'docker: an engine runs'
      return 0
    fi
    sleep 1
  done
  echo 'docker: the engine did not come up; the end of its log:'
  tail -n 20 "$folder/log"
  stop
  return 1
}

stop() {
  [[ -d $folder ]] || return 0
  local pid
  pid=$(cat "$folder/pid" 2>/dev/null || true)
  if [[ -n $pid ]] && kill "$pid" 2>/dev/null; then
    for _ in $(seq 30); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 1
    done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  awk -v below="$(realpath "$folder")/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r |
    while read -r mount; do umount -l "$mount" || true; done
  rm -rf "$folder"
}

"$command"
