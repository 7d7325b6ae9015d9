"""What the recipes add to the training of the package."""

import dlib
import numpy as np
import torch
from conftest import ROOT
from PIL import Image

from cyclegan.evaluation.identity import LANDMARKS, find_models
from cyclegan.images import denormalise, normalise, to_tensor
from recipes.likeness import PADDING, PLACES, cut_out, similarity


def test_faces_are_cut_out_as_dlib_does() -> None:
    image = Image.open(min((ROOT / "examples/photos").iterdir())).convert("RGB").resize((256, 256))
    pixels = np.array(image)
    (face,) = dlib.get_frontal_face_detector()(pixels, 0)
    found = dlib.shape_predictor(str(find_models() / LANDMARKS))(pixels, face)
    landmarks = np.array([(point.x, point.y) for point in found.parts()])
    where = similarity((PLACES + PADDING) / (1 + 2 * PADDING), landmarks)
    ours = denormalise(cut_out(normalise(to_tensor(image))[None], where[None], 150)[0])
    theirs = torch.from_numpy(dlib.get_face_chip(pixels, found, 150, PADDING)).permute(2, 0, 1)
    assert (ours.float() - theirs).abs().mean() < 8  # of 255
