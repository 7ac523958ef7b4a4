#!/usr/bin/env bash
# A whole LLaVA on a laptop: data, both stages, evaluation, pictures.
#   bash launch/pocket.sh [--workdir=DIR] [--budget=quick|default|long] [--config.KEY=VALUE ...]
# A second call with the same workdir goes on where the first stopped.
set -eu
cd "$(dirname "$0")/.."
source launch/environment.sh

workdir= budget=default overrides=()
for argument in "$@"; do
  case $argument in
    --workdir=*) workdir=${argument#*=} ;;
    --budget=*) budget=${argument#*=} ;;
    --config.*) overrides+=("$argument") ;;
    *) echo "error: unknown argument $argument (see the head of launch/pocket.sh)" >&2; exit 2 ;;
  esac
done
: "${workdir:=${LLAVA_JAX_CACHE:-$HOME/.cache/llava_jax}/pocket_$budget}"

start=$SECONDS
prepare_environment requirements.txt
setup=$((SECONDS - start))

export JAX_PLATFORMS=cpu
.venv/bin/python launch/train.py \
  --config=configs/pocket.py:"$budget" --workdir="$workdir" ${overrides[@]+"${overrides[@]}"}
.venv/bin/python launch/evaluate.py --checkpoint="$workdir" \
  --setup_minutes="$(printf '%d.%02d' $((setup / 60)) $((setup % 60 * 100 / 60)))"
echo "talk with it: .venv/bin/python launch/chat.py --checkpoint=$workdir --image=FILE"
