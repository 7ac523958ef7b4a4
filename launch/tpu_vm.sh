#!/usr/bin/env bash
# Runs a program of this project on a Cloud TPU, on all its workers, over preemptions.
#   bash launch/tpu_vm.sh train --name=llava --zone=us-west4-a --accelerator=v5e-64 --spot -- \
#     launch/train.py --coordinator=auto --config=configs/llava_v1_5_7b.py --workdir=gs://BUCKET/llava
# Subcommands:
#   train    all of create, install and run; made anew after each preemption until the program ends.
#            The same command again goes on from whatever state it finds
#   create   takes the TPU that is there, or asks for it and waits for it
#   install  copies this project to all workers and installs it
#   run      starts the program on all workers, where a lost connection does not end it; shows the log
#   log      shows the log of what is running      stop     lets the program save and exit
#   status   what TPU and program are doing        delete   gives the TPU back
# With --workdir=gs://BUCKET/RUN all that a preemption must not take is kept in the bucket, which the
# TPU's service account must be allowed to write to.
# Flags: --name, --zone, --project (gcloud's own if not given), --accelerator (as Google counts: v5e
# and v6e in chips, v4 and v5p in cores), --runtime (a TPU image instead of the generation's usual
# one), --spot, --queued (a queued resource: waits until there is capacity), --poll_seconds=30,
# --dry_run (prints every command, runs none).
# Needs gcloud (cloud.google.com/sdk/docs/install), and for several workers an ssh agent that knows
# the key: ssh-add ~/.ssh/google_compute_engine
set -euo pipefail
cd "$(dirname "$0")/.."

on_worker='bash llava_jax/launch/tpu_worker.sh'
# Exit codes: a shell's for SIGTERM; of a worker that misses another one; of one that JAX aborts,
# as it does where the first is gone.
told_to_stop=143 lost_contact=75 aborted=134
usage='see the head of launch/tpu_vm.sh'
subcommand='' name='' zone='' project='' accelerator='' runtime='' spot='' queued='' dry_run=''
poll_seconds=30 program=() persistent='' finished='' stumbles=0

main() {
  parse "$@"
  case $subcommand in
    create) create ;;
    install) install || fail "could not install on $name: the reason stands above" ;;
    run)
      start
      follow
      ;;
    log) follow ;;
    train) train ;;
    stop) on_all "$on_worker stop" ;;
    status)
      state
      statuses
      ;;
    delete) delete ;;
  esac
}

parse() {
  subcommand=${1:-}
  case $subcommand in
    train | create | install | run | log | status | stop | delete) shift ;;
    -h | --help | help)
      sed -n '2,/^set /s/^# \{0,1\}//p' launch/tpu_vm.sh
      exit
      ;;
    *) fail "unknown subcommand '$subcommand' ($usage)" ;;
  esac
  while [ $# -gt 0 ]; do
    case $1 in
      --name=*) name=${1#*=} ;;
      --zone=*) zone=${1#*=} ;;
      --project=*) project=${1#*=} ;;
      --accelerator=*) accelerator=${1#*=} ;;
      --runtime=*) runtime=${1#*=} ;;
      --poll_seconds=*) poll_seconds=${1#*=} ;;
      --spot) spot=1 ;;
      --queued) queued=1 ;;
      --dry_run) dry_run=1 ;;
      --) shift && program=("$@") && break ;;
      *) fail "unknown argument '$1' ($usage)" ;;
    esac
    shift
  done
  [ -n "$name" ] || fail "give the TPU a name: --name=NAME"
  [ -n "$zone" ] || fail "say where: --zone=ZONE (gcloud compute tpus locations list)"
  [[ $poll_seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--poll_seconds=$poll_seconds is no number"
  case $subcommand in train | create) check_accelerator ;; esac
  case $subcommand in train | run) check_program ;; esac
  check_gcloud
}

# Google's name of the accelerator, and the image that docs.cloud.google.com/tpu/docs/runtimes names.
check_accelerator() {
  local size=${accelerator##*-} image
  case $accelerator in
    v5e-* | v5litepod-* | v6e-*)
      case $size in 1 | 4 | 8 | 16 | 32 | 64 | 128 | 256) ;; *) unknown_accelerator ;; esac ;;
    v4-* | v5p-*)
      { [[ $size =~ ^[1-9][0-9]*$ ]] && [ $((size % 8)) = 0 ]; } || unknown_accelerator ;;
    *) unknown_accelerator ;;
  esac
  case $accelerator in
    v4-*) image=tpu-ubuntu2204-base ;;
    v5p-*) image=v2-alpha-tpuv5 ;;
    v6e-*) image=v2-alpha-tpuv6e ;;
    *) image=v2-alpha-tpuv5-lite accelerator=v5litepod-$size ;;
  esac
  : "${runtime:=$image}"
}

unknown_accelerator() {
  fail "unknown --accelerator='$accelerator': v5e-N or v6e-N with N chips (1, 4, 8, 16, 32, 64," \
    "128, 256), v4-N or v5p-N with N cores (a multiple of 8)"
}

check_program() {
  local word flag='' workdir='' coordinator='' config=''
  [ ${#program[@]} -gt 0 ] ||
    fail "say what to run, after --: ... -- launch/train.py --config=FILE --workdir=gs://BUCKET/RUN"
  [ -f "${program[0]}" ] || fail "no program ${program[0]} in this project: it follows the --"
  for word in "${program[@]}"; do # --name=value, or --name value
    case $word in --*=*) flag=${word%%=*} word=${word#*=} ;; esac
    case $flag in
      --workdir) workdir=$word ;;
      --coordinator) coordinator=$word ;;
      --config) config=${word%%:*} ;;
    esac
    flag=$word
  done
  [ -z "$config" ] || [ -f "$config" ] ||
    fail "no recipe $config in this project: the workers get what is in it"
  if [ "${program[0]}" = launch/train.py ] && [ -z "$coordinator" ]; then
    say "note: without --coordinator=auto each worker of the TPU trains for itself"
  fi
  case $workdir in
    gs://* | '') ;;
    *) say "note: --workdir=$workdir is on each worker's own disk, which a preemption takes away:" \
      "training would begin anew. Give gs://BUCKET/FOLDER (or a folder that all workers mount)" ;;
  esac
}

check_gcloud() {
  [ -z "$dry_run" ] || return 0
  command -v gcloud > /dev/null ||
    fail "gcloud is not installed: see cloud.google.com/sdk/docs/install, or look with --dry_run"
  [ -n "$project" ] || project=$(gcloud config get-value project 2> /dev/null) || true
  case $project in
    '' | '(unset)') fail "no project: give --project=ID, or gcloud config set project ID" ;;
  esac
}

create() {
  local now
  if [ -n "$dry_run" ]; then
    say "# if there is no such TPU yet; then until it is READY, the look at it:"
    request
    state
    return
  fi
  while true; do
    now=$(state)
    case $now in
      "READY $accelerator") return ;;
      READY*) fail "the TPU $name is a ${now#READY }: choose another --name, or delete it" ;;
      ABSENT) request || no_capacity ;;
      FAILED*) fail "the request for $name failed ($now): delete it, then ask again" ;;
      STOPPED*) fail "the TPU $name is stopped: start it with gcloud, or delete it" ;;
      *) if gone "$now"; then delete; else await "the TPU $name is $now"; fi ;;
    esac
  done
}

request() {
  local tier=()
  [ -z "$spot" ] || tier=(--spot)
  if [ -n "$queued" ]; then
    tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator" \
      --runtime-version="$runtime" ${tier[@]+"${tier[@]}"}
  else
    tpus tpu-vm create "$name" --accelerator-type="$accelerator" --version="$runtime" \
      ${tier[@]+"${tier[@]}"}
  fi
}

no_capacity() {
  [ -n "$persistent" ] ||
    fail "there is no TPU to be had now, or not for you (gcloud's reason stands above):" \
      "try again later or in another zone, or wait for one with --queued"
  await "no TPU to be had yet"
}

delete() {
  if [ -n "$queued" ]; then
    tpus queued-resources delete "$name" --force --quiet
  else
    tpus tpu-vm delete "$name" --quiet
  fi
}

await() {
  say "$1; looking again in $poll_seconds s"
  sleep "$poll_seconds"
}

# "READY ACCELERATOR", ABSENT, or another state of the TPU or of its place in the queue.
state() {
  local node=(tpu-vm 'value(state,acceleratorType)') request=(queued-resources 'value(state.state)') now
  if [ -z "$queued" ] || [ -n "$dry_run" ]; then
    described "${node[@]}"
    return
  fi
  now=$(described "${request[@]}")
  if [ "$now" = ACTIVE ]; then
    now=$(described "${node[@]}")
    # An active request whose TPU is gone: its name is free only once the request is deleted.
    [ "$now" != ABSENT ] || now=PREEMPTED
  fi
  echo "$now"
}

described() {
  local answer errors
  if [ -n "$dry_run" ]; then
    tpus "$1" describe "$name" --format="$2"
    return
  fi
  errors=$(mktemp)
  if answer=$(tpus "$1" describe "$name" --format="$2" 2> "$errors"); then
    tr '\t' ' ' <<< "$answer"
  elif grep -q NOT_FOUND "$errors"; then
    echo ABSENT
  else
    fail "cannot look at $name in $zone: $(tail -n 1 "$errors")"
  fi
  rm "$errors"
}

# States of a TPU that will not come back.
gone() { case $1 in ABSENT | PREEMPTED* | TERMINATED* | SUSPENDED*) ;; *) return 1 ;; esac; }

install() {
  local archive
  if [ -n "$dry_run" ]; then archive=/tmp/llava_jax.tar.gz; else archive=$(mktemp -d)/llava_jax.tar.gz; fi
  execute tar --exclude=__pycache__ -czf "$archive" \
    llava_jax configs launch pyproject.toml README.md LICENSE requirements.txt requirements-web.txt \
    requirements-tpu.txt || return
  tpus tpu-vm scp "$archive" "$name:llava_jax.tar.gz" --worker=all || return
  on_all "rm -rf llava_jax/llava_jax llava_jax/configs llava_jax/launch && mkdir -p llava_jax &&" \
    "tar -xzf llava_jax.tar.gz -C llava_jax && $on_worker install" || return
  execute rm "$archive"
}

start() { on_all "$on_worker start $(quoted "${program[@]}")"; }
follow() { on_all "$on_worker follow"; }

# One line a worker: idle, running, lost, or "ended CODE".
statuses() {
  on_all "if [ -e llava_jax/launch/tpu_worker.sh ]; then $on_worker status; else echo idle; fi"
}

train() {
  local found=''
  create
  if [ -n "$dry_run" ]; then
    say "# if the program is not running yet:"
  else
    found=$(statuses) || found=''
  fi
  all running "$found" || install || fail "could not install on $name: the reason stands above"
  start
  if [ -n "$dry_run" ]; then
    follow
    say "# after a preemption, and then all of the above again:"
    delete
    return
  fi
  persistent=1
  until follow || [ -n "$finished" ]; do go_on; done
  say "the program has ended on all workers"
}

# After the log broke off: gets the program running again if a machine was lost, fails if it failed.
go_on() {
  local now found='' code harmless="0|$lost_contact"
  # A program that lost its peers, or was told to stop, may end before its TPU is marked as gone.
  await "the log of $name broke off"
  now=$(state)
  if gone "$now"; then
    say "the TPU $name is $now: making it anew; training goes on from its workdir"
    create
  else
    found=$(statuses) || { stumble "the workers do not answer" && return; }
    case $found in *lost*) harmless+="|$aborted" ;; esac
    code=$(sed -n 's/^ended //p' <<< "$found" | { grep -vxE "$harmless" || true; } | head -n 1)
    [ -z "$code" ] || failed_with "$code"
    case $found in
      *lost* | *idle* | *"ended $lost_contact"*)
        say "a worker was restarted, or lost another: starting the program again on all"
        ;;
      *running*) return ;;
      *) finished=1 && return ;;
    esac
    on_all "$on_worker stop" || true # where nothing is installed nothing runs
  fi
  if install && start; then stumbles=0; else stumble "the program could not be started"; fi
}

all() { ! grep -qvx "$1" <<< "$2"; }

stumble() {
  stumbles=$((stumbles + 1))
  [ $stumbles -lt 10 ] || fail "$1 after 10 attempts; the TPU $name still costs, if it is there"
  say "$1; trying again"
}

failed_with() {
  if [ "$1" = $told_to_stop ]; then
    say "the program was told to stop"
    exit "$1"
  fi
  fail "the program failed with exit code $1 on a worker (its last lines stand above)." \
    "The TPU still runs and costs: put it right and give the same command again, or delete it"
}

on_all() { tpus tpu-vm ssh "$name" --worker=all --command="$*"; }

tpus() {
  local where=(--zone="$zone")
  [ -z "$project" ] || where+=(--project="$project")
  execute gcloud compute tpus "$@" "${where[@]}"
}

execute() {
  if [ -n "$dry_run" ]; then
    quoted "$@"
  else
    "$@"
  fi
}

# Words as a shell would read them back.
quoted() {
  local word escaped="'\\''" line=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'${word//\'/$escaped}'"
    line+=" $word"
  done
  echo "${line# }"
}

say() { echo "$*" >&2; }

fail() {
  say "error: $*"
  exit 2
}

main "$@"
