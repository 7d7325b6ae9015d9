#!/bin/bash
# How the embedded weights came from those without styles: recipes/embedded.sh DATA VGG16 START FACE DLIB OTHER [OUTPUT]
#
# DATA is a data set as in docs/data.md whose sketches are named as FS2K's are, VGG16 a safetensors file with the names
# of torchvision's tensors, START the release without styles that docs/training.md makes, and FACE, DLIB and OTHER face
# recognition networks in ONNX: one as --likeness-network takes it, dlib's, and a third one.
#
# The first part ran on a CPU. It ends with a mean of weights from three places of the training (model soups, Wortsman et
# al. 2022), whose skin recipes/finish.py corrects. The first place lies half-way between START, which gets the maps from
# a style and from a palette a quarter stronger, and step 5,100. The second part ran on a GPU and starts from that mean.
# The third part ran on a CPU again.
#
# The first 415 steps ran an older script: it asked for colours only in squares that showed nearly the whole face. Up
# to step 771, strangers' colours were asked for in their own light, not darker or lighter. The run was stopped by hand
# at about step 930 for a lower learning rate. Float32, one core of an AMD EPYC (Zen 3) that other work shared.
set -euo pipefail
data=$1 vgg16=$2 start=$3 face=$4 dlib=$5 other=$6 output=${7:-runs/styles}

train() {
  accelerate launch train_accelerate.py --data "$data" --output "$output" --start-from "$start" \
    --style-pattern 'style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$' --palette \
    --perceptual-weight 1 --perceptual-network "$vgg16" --batch-size 2 \
    --width 32 --blocks 6 --compact --upsample resize --grey-sketches --discriminator-width 32 --spectral-norm \
    --identity-weight 0 --line-sketches 0.25 --relight 0.3 --reconstruction-noise 0.02 --validation-pictures 0 "$@"
}

small=(--image-size 128 --zoom 1 2 --epochs 1 --decay-from 1)
train "${small[@]}" --paired-weight 16 --palette-weight 2 --max-steps 415
train "${small[@]}" --paired-weight 16 --palette-weight 5 --max-steps 771 --resume
train "${small[@]}" --paired-weight 24 --palette-weight 10 --learning-rate 1e-4 --max-steps 930 --resume
train "${small[@]}" --paired-weight 24 --palette-weight 10 --learning-rate 3e-5 --max-steps 1103 --resume
cp -rL "$output/latest" "$output/maps"
all=(--paired-weight 24 --palette-weight 5 --learning-rate 1e-4 --decay-from 0.5 --resume)
train "${all[@]}" --image-size 128 --zoom 1 2 --epochs 2
large=("${all[@]}" --image-size 256 --zoom 1 1.25 --epochs 3 --cycle-weight 20)
train "${large[@]}" --max-steps 5100
cp -rL "$output/latest" "$output/step-5100"
train "${large[@]}"
train "${all[@]}" --image-size 192 --zoom 1.2 1.6667 --epochs 4 --cycle-weight 20 --palette-weight 10 --recolour 0.4

python - "$start" "$output/maps" "$output/step-5100" "$output/half" <<'END'
import sys

import torch

from cyclegan import FaceSketchPipeline

start, maps, end = (FaceSketchPipeline.from_pretrained(folder, device="cpu") for folder in sys.argv[1:4])
for direction, generator in end.generators.items():
    told = {"condition.weight": 1.25 * maps.generators[direction].state_dict()["condition.weight"]}
    first, last = start.generators[direction].state_dict() | told, generator.state_dict()
    generator.load_state_dict({name: (first[name] + tensor) / 2 for name, tensor in last.items()})
pair = end.sketch_generator, end.photo_generator
FaceSketchPipeline(*pair, start.image_size, "cpu", torch.float16, styles=end.styles).save_pretrained(sys.argv[4])
END

python recipes/finish.py "$data/train" "$output/release" --sketch "$output/half=0.5" "$output/epoch-0003=0.5" \
  --photo "$output/half=0.4" "$output/epoch-0003=0.25" "$output/epoch-0004=0.35"

# The second part: two runs side by side on one NVIDIA H100, in bf16, for eight and a half minutes, on portraits that had
# been reduced to 384 pixels. The released photo generator is the mean of the two. The released sketch generator is the
# first, with a little of the weights before, whose lines are crisper.
second() {
  local name=$1
  shift
  accelerate launch train_accelerate.py --preset released --data "$data" --output "$output/$name" --start-from "$output/release" \
    --style-pattern 'style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$' --perceptual-weight 1 --perceptual-network "$vgg16" \
    --cycle-weight 20 --batch-size 32 --learning-rate 3e-4 --epochs 13 --validation-pictures 0 "$@"
}
second a --seed 0 --zoom 0.9 1.25 --decay-from 0.48219 &
other=(--seed 1 --paired-weight 32 --warp 0.1 --recolour 0.2 --decay-from 0.46309)
second b "${other[@]}" --zoom 0.9 1.75 --max-steps 897
second b "${other[@]}" --zoom 0.9 1.4 --resume
wait

python recipes/finish.py "$data/train" "$output/second" --keep-skin \
  --sketch "$output/a/latest=0.85" "$output/release=0.15" --photo "$output/a/latest=0.5" "$output/b/latest=0.5"

# The third part, on a CPU again: the photo generator alone, in two runs side by side, each on one core of an AMD EPYC in
# float32, with an earlier form of recipes/photo_alone.py, without the portraits close up. Both were changed on the way. Up
# to step 250, there were no drawings of few strokes, and up to step 750, the likeness of drawings of few strokes counted
# as well. The first compared windows at their full size from step 1,000 on, and the second never did; the first had other
# weights from step 1,250 on and ended at step 1,750. The learning rates were those of runs of 1,800 steps. The photo
# discriminator came from 200 steps of the second part's training.
second judge --start-from "$output/second" --batch-size 2 --learning-rate 5e-5 --seed 2 --zoom 0.9 1.4 --warp 0.1 --max-steps 200
judge=$output/judge/states/step-00000200.safetensors
photos() {
  python -m recipes.photo_alone "$data" "$1" "$output/$2" --vgg16 "$vgg16" --face "$face" --discriminator "$judge" "${@:3}"
}
alone=(--cycle-weight 0 --grid-weight 0 --fsim-weight 0)  # losses that came later
third() {
  photos "$output/second" "$@" --chroma-weight 0 "${alone[@]}"
}
third c1 --seed 5 --steps 1250 --paired-weight 16 --perceptual-weight 4 --recolour 0.08 --few-strokes 0.35 &
third d1 --seed 6 --steps 1250 --paired-weight 24 --perceptual-weight 3 --recolour 0.15 --few-strokes 0.35 &
wait
cp -r "$output/c1" "$output/c2"
third c2 --seed 5 --steps 1750 --likeness-weight 10 --adversarial-weight 2 --recolour 0.08 --few-strokes 0.3

python recipes/finish.py "$data/train" "$output/third" --sketch "$output/a/latest=0.95" "$output/b/latest=0.05" \
  --photo "$output/c1=0.35" "$output/d1=0.15" "$output/c2=0.3" "$output/second=0.2"

# The fourth part, on the same CPU: each generator alone for an hour, on one core each. The scripts that ran differ from
# these in their random numbers. The photo discriminator was that of c2, and the sketch discriminator came from 359 steps of
# train_accelerate.py. The learning rate of the photos was that of a run of 1,300 steps at first, and the chroma and the
# lower adversarial weight began at step 500. The first sketch run was planned for 3,000 steps and stopped at 500: without
# losses at the full size, it drew a faint grid of two pixels. The second was planned for 2,000 steps up to step 450.
# The photo's cycle was painted from the sketch at half the size, and the sketch's cycle was not compared.
photos "$output/third" e --steps 500 --adversarial-weight 2 --recolour 0.05 --chroma-weight 0 "${alone[@]}"
photos "$output/third" e --steps 1200 --adversarial-weight 1.5 "${alone[@]}"
sketches() {
  python -m recipes.sketch_alone "$data" "$1" "$output/$2" --vgg16 "$vgg16" --discriminator "$judge" "${@:3}"
}
old=(sketches "$output/third")
"${old[@]}" f --steps 500 --adversarial-weight 1.5 --paired-weight 16 --line-weight 0 --stroke-weight 0 --grid-weight 0
"${old[@]}" g --steps 1500 --adversarial-weight 2 --grid-weight 0

# The fifth part, on such a CPU without bf16: both generators side by side, one core each, for an hour and a quarter, each
# with the other's average. Both discriminators came from those 359 steps.
python recipes/finish.py "$data/train" "$output/fourth" --keep-skin \
  --sketch "$output/third=0.5" "$output/f=0.15" "$output/g=0.35" --photo "$output/third=0.7" "$output/e=0.3"
sketches "$output/fourth" h --partner "$output/i" --steps 1150 --seed 21 --adversarial-weight 2 &
beside=(photos "$output/fourth" i --partner "$output/h" --seed 22 --adversarial-weight 1.5 --likeness-weight 10 --recolour 0.05)
"${beside[@]}" --steps 400
"${beside[@]}" --steps 1150 --fsim-weight 15  # the learning rates of the first 400 steps were those of this run
wait

# Until here, the face network saw the whole picture. The release of 27 November: mostly these runs, with some of the
# weights before, more of the finest detail in photos and less of a grid
python recipes/finish.py "$data/train" "$output/fifth" --keep-skin \
  --sketch "$output/h=0.7" "$output/third=0.15" "$output/f=0.15" --sketch-grid 0.3 \
  --photo "$output/i=0.8" "$output/third=0.2" --photo-detail 0.5 --drawn-detail 0.1

# The sixth part, on the same CPU: the photo generator goes on for the sake of the person. Its learning rates are those of
# runs of 2,000 steps up to step 1,500, then of 2,300, from 1,900 on of 2,500, from 2,500 on of 3,600 and from 2,600 on of
# 3,400. Spots of a wrong colour count from step 1,900 on. Beside it, the sketch generator trained from the same start again.
cp -r "$output/i" "$output/k"
sketches "$output/fourth" j --partner "$output/i" --steps 1500 --seed 23 --adversarial-weight 2 --cycle-weight 20 &
person() {
  photos "$output/fourth" k --partner "$output/j" --seed 22 --adversarial-weight 1.5 --recolour 0.05 --face "$dlib" "$@"
}
person --steps 1500 --likeness-weight 8 --fsim-weight 15
person "$other" --steps 2500 --likeness-weight 10 --fsim-weight 15
person "$other" --steps 2600 --likeness-weight 20 --fsim-weight 12 --cycle-weight 25
person "$other" --steps 3000 --likeness-weight 20 --fsim-weight 12 --cycle-weight 25 --paired-weight 12
wait

# The release of 27 November, 06:19: mostly these runs
python recipes/finish.py "$data/train" "$output/sixth" --keep-skin \
  --sketch "$output/j=0.7" "$output/third=0.15" "$output/f=0.15" --sketch-grid 0.2 \
  --photo "$output/k=0.85" "$output/third=0.15" --photo-detail 0.4 --drawn-detail 0.1

# The seventh part, on the same CPU: against dark red in lips, hair, beards and eyes. Its learning rates are those of runs
# of 4,200 steps up to step 4,200, and then of 6,500.
cp -r "$output/k" "$output/l"
dark() {
  photos "$output/fourth" l --partner "$output/j" --seed "$1" --adversarial-weight 1.5 --recolour 0.05 --face "$dlib" "$other" \
    --fsim-weight 12 --cycle-weight 25 --paired-weight 12 "${@:2}"
}
dark 22 --steps 4200 --likeness-weight 20 --chroma-weight 30
dark 31 --steps 4600 --likeness-weight 24 --chroma-weight 12
dark 31 --steps 4950 --likeness-weight 24 --chroma-weight 12 --red-weight 3000

# The release: the sketches of the sixth part, and the middle between its photos and these
finish() {
  python recipes/finish.py "$data/train" "$output/$1" --keep-skin --sketch "$output/sixth=1" --photo "${@:2}"
}
finish dark "$output/l=1" --photo-detail 0.4 --drawn-detail 0.1
finish embedded "$output/dark=0.43" "$output/sixth=0.57"
