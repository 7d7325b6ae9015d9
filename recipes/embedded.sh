#!/bin/bash
# How styles and colours were added to the embedded weights: recipes/embedded.sh DATA VGG16 START [OUTPUT]
#
# DATA is a data set as in docs/data.md whose sketches are named as FS2K's are, VGG16 a safetensors file with the names
# of torchvision's tensors. START is the release that docs/training.md makes, without styles. Of what the run learns, only the maps from
# a style and from a palette are taken, a quarter stronger: the pictures without either stay what they were.
#
# The first 415 steps ran an older script: it asked for colours only in squares that showed nearly the whole face. Up
# to step 771, strangers' colours were asked for in their own light, not darker or lighter. The run was stopped by hand
# at about step 930 for the last learning rate. Float32, one core of an AMD EPYC (Zen 3) that other work shared.
set -euo pipefail
data=$1 vgg16=$2 start=$3 output=${4:-runs/conditions}

train() {
  accelerate launch train_accelerate.py --data "$data" --output "$output" --start-from "$start" \
    --style-pattern 'style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$' --palette --zoom 1 2 --image-size 128 \
    --perceptual-weight 1 --perceptual-network "$vgg16" --batch-size 2 --epochs 1 --decay-from 1 \
    --width 32 --blocks 6 --compact --upsample resize --grey-sketches --discriminator-width 32 --spectral-norm \
    --identity-weight 0 --line-sketches 0.25 --relight 0.3 --reconstruction-noise 0.02 --validation-pictures 0 "$@"
}

train --paired-weight 16 --palette-weight 2 --max-steps 415
train --paired-weight 16 --palette-weight 5 --max-steps 771 --resume
train --paired-weight 24 --palette-weight 10 --learning-rate 1e-4 --max-steps 930 --resume
train --paired-weight 24 --palette-weight 10 --learning-rate 3e-5 --max-steps 1103 --resume

python - "$output/latest" "$start" "$output/release" <<'END'
import sys

import torch

from cyclegan import FaceSketchPipeline

trained, start = (FaceSketchPipeline.from_pretrained(folder, device="cpu") for folder in sys.argv[1:3])
for direction, generator in trained.generators.items():
    fixed = start.generators[direction].state_dict()
    condition = {"condition.weight": 1.25 * generator.state_dict()["condition.weight"]}
    generator.load_state_dict(fixed | condition)
pair = trained.sketch_generator, trained.photo_generator
size, styles = start.image_size, trained.styles
FaceSketchPipeline(*pair, size, "cpu", torch.float16, styles=styles).save_pretrained(sys.argv[3])
END
