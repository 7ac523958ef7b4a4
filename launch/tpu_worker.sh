#!/usr/bin/env bash
# What launch/tpu_vm.sh runs on each worker of a TPU; a program it starts outlives the connection.
#   install             an environment with what a TPU needs
#   start FILE ARGS     runs a Python program; nothing happens if the same one is running
#   follow              shows the log to its end (worker 0; the others only what they failed with)
#   status              a line: idle, running, "ended CODE", or lost (gone without an exit code)
#   stop                lets the program save and exit (SIGTERM), and ends it after 5 minutes
set -eu
cd "$(dirname "$0")/.."
run=$HOME/llava_jax_run
worker=$(hostname)

install() {
  # The TPU images of Ubuntu 22.04 have Python 3.10; uv brings a newer one without root.
  if [ ! -x .venv/bin/python ]; then
    python3 -m pip install --quiet --user uv==0.13.9
    "$HOME/.local/bin/uv" venv --quiet --seed --python 3.11 .venv
  fi
  source launch/environment.sh
  prepare_environment requirements-tpu.txt
}

start() {
  local command
  command=$(printf '%q ' "$@")
  if [ "$(status)" = running ]; then
    [ "$command" = "$(cat "$run/command")" ] || fail "another program is running: stop it first"
    return
  fi
  mkdir -p "$run"
  rm -f "$run/exit"
  if [ -e "$run/log" ]; then mv "$run/log" "$run/log.before"; fi
  echo "$command" > "$run/command"
  nohup setsid bash launch/tpu_worker.sh execute "$@" < /dev/null > "$run/log" 2>&1 &
  echo $! > "$run/pid"
}

execute() {
  local code=0
  .venv/bin/python "$@" &
  echo $! > "$run/program"
  wait $! || code=$?
  echo "$code" > "$run/exit.partial"
  mv "$run/exit.partial" "$run/exit"
}

status() {
  if [ ! -e "$run/pid" ]; then
    echo idle
  elif ended; then
    echo "ended $(cat "$run/exit")"
  elif grep -qs tpu_worker "/proc/$(cat "$run/pid")/cmdline"; then
    echo running
  elif ended; then # it may have ended between the two looks
    echo "ended $(cat "$run/exit")"
  else
    echo lost
  fi
}

ended() { [ -e "$run/exit" ]; }

follow() {
  local code=1
  [ -e "$run/pid" ] || fail "no program was started"
  case $worker in
    *-w-[1-9]*) tail -f -s 1 --pid="$(cat "$run/pid")" /dev/null ;;
    *) tail -n 100 -f -s 1 --pid="$(cat "$run/pid")" "$run/log" ;;
  esac
  if ended; then code=$(cat "$run/exit"); fi
  if [ "$code" != 0 ]; then
    case $worker in *-w-[1-9]*) tail -n 20 "$run/log" | sed "s/^/$worker: /" ;; esac
    echo "$worker: the program ended with exit code $code" >&2
  fi
  exit "$code"
}

stop() {
  local group
  [ "$(status)" = running ] || return 0
  group=$(cat "$run/pid")
  kill -TERM "$(cat "$run/program")"
  # A worker whose peers are gone may wait for them for ever.
  timeout 300 tail -f -s 1 --pid="$group" /dev/null || kill -KILL -- "-$group"
}

fail() {
  echo "error: $worker: $1" >&2
  exit 2
}

"$@"
