#!/bin/bash
# Train a release on one GPU: recipes/gpu.sh DATA [OUTPUT]. The same command continues after a break.
#
# DATA is a data set as in docs/data.md whose sketches are named as FS2K's are (..._style1 to ..._style3). A teacher, the
# paper's generators, is trained at 256 and then at 512. It draws every photo that has no partner, in one of the three
# styles, so that the compact student learns from pairs. Settings of the environment, with what they are by default:
#
#   SIZES="256 512"  EPOCHS="60 20"  of each size, for the teacher; the student takes as many
#   TEACHER="--no-compact --upsample transpose --width 64 --blocks 9 --discriminator-width 64 --batch-size 8 --learning-rate 2e-4"
#   STUDENT="--start-from embedded --batch-size 32 --learning-rate 3e-4"
#   VGG16=torchvision  or a safetensors file for --perceptual-network
#   BENCHMARK="--size 256 --batch 8"  of benchmarks.training
#
# It has been tried with tiny settings on a CPU. The end of recipes/embedded.sh is what a GPU has run: there was no time
# for a teacher.
set -euo pipefail
data=$(realpath "$1") output=$(realpath -m "${2:-runs/gpu}")
read -r small large <<<"${SIZES:-256 512}"
read -r first then <<<"${EPOCHS:-60 20}"
teacher=${TEACHER:---no-compact --upsample transpose --width 64 --blocks 9 --discriminator-width 64 --batch-size 8 --learning-rate 2e-4}
student=${STUDENT:---start-from embedded --batch-size 32 --learning-rate 3e-4}
cd "$(dirname "$0")/.."
mkdir -p "$output"
cp -n recipes/gpu.sh "$output"

[ -s "$output/training.json" ] || python -m benchmarks.training ${BENCHMARK:---size 256 --batch 8} --json >"$output/training.json"

# train NAME DATA FLAGS: at the small size, then at the large one with a falling learning rate
train() {
  local name=$1 from=$2
  shift 2
  local flags=(--preset released --data "$from" --output "$output/$name" --style-pattern 'style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$'
    --perceptual-weight 1 --perceptual-network "${VGG16:-torchvision}" --save-every 500 --resume "$@")
  local all=$((first + then))
  if [ ! -e "$output/$name.small" ]; then
    accelerate launch train_accelerate.py "${flags[@]}" --image-size "$small" --epochs "$first" --decay-from 1
    touch "$output/$name.small"
  fi
  accelerate launch train_accelerate.py "${flags[@]}" --image-size "$large" --epochs "$all" --decay-from "$(awk "BEGIN {print $first / $all}")"
}

train teacher "$data" $teacher

# What the teacher draws: every third photo without a partner in each style
pairs=$output/pairs/train
if [ ! -e "$output/drawn" ]; then
  mkdir -p "$pairs/photos" "$pairs/sketches" "$output/lists"
  rm -f "$output/lists"/*
  number=0
  for photo in "$data"/train/photos/*; do
    name=$(basename "${photo%.*}")
    sketch=$(find "$data/train/sketches" -name "$name.*" -print -quit)
    if [ -n "$sketch" ]; then
      ln -sf "$photo" "$pairs/photos/" && ln -sf "$sketch" "$pairs/sketches/"
    else
      style=$((number++ % 3 + 1))
      ln -sf "$photo" "$pairs/photos/${name}_style$style.${photo##*.}"
      echo "$pairs/photos/${name}_style$style.${photo##*.}" >>"$output/lists/$style"
    fi
  done
  for style in 1:fine 2:bold 3:soft; do
    [ -e "$output/lists/${style%:*}" ] || continue
    xargs -d '\n' -a "$output/lists/${style%:*}" python -m cyclegan convert --to sketch --framing whole --no-prepare \
      --size "$large" --style "${style#*:}" --weights "$output/teacher/latest" --out "$pairs/sketches"
  done
  touch "$output/drawn"
fi
[ -e "$output/pairs/test" ] || ln -s "$data/test" "$output/pairs/test"

train student "$output/pairs" $student

for name in teacher student; do
  python -m cyclegan evaluate --data "$data/test" --weights "$output/$name/latest" --true-style --own-palette \
    --style-pattern 'style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$' --json "$output/$name.json"
done
