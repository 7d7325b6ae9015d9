"""The settings of training: every flag, its meaning and its default, and the presets."""

from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from ..data.layouts import DataSet
from ..networks import Padding, Upsample
from . import TrainingError
from .bounds import check_bounds

NO_RECIPE = {"data", "photos", "sketches", "output", "resume", "keep_states", "log_every", "tracker"} | {
    "push_to_hub", "hub_private", "hub_best", "push_state", "data_note",
}  # fmt: skip  # they say where and how it ran, not what was trained
ResumeFrom = Annotated[
    Literal["here", "hub"] | None,
    PrimitiveConstructorSpec(  # --resume, or --resume hub
        nargs=(0, 1),
        metavar="[hub]",
        choices=("hub",),
        instance_from_str=lambda given: "hub" if given else "here",
        is_instance=lambda value: value in ("here", "hub", None),
        str_from_instance=lambda value: ["hub"] if value == "hub" else [],
    ),
]


@dataclass(frozen=True)
class TrainConfig:
    """Train the face photo <-> sketch translator. The defaults are 64 x 64 pixels, a batch of 256 and 15 epochs."""

    data: str = ""
    """Folder with train/photos and train/sketches; the sample grids show test/photos and test/sketches if they exist.
    trainA, trainB and pairs side by side are read too. Or hf:NAME[:SPLIT], a data set on the Hub or a folder of Parquet
    or WebDataset shards; see docs/data.md."""
    photos: tuple[str, ...] = ()
    """Files, folders or patterns such as "faces/**/*.jpg" of the training photos, in place of those of --data."""
    sketches: tuple[str, ...] = ()
    """Files, folders or patterns of the training sketches."""
    swap_domains: bool = False
    """Take trainB, or the right halves, for the photos, and trainA, or the left halves, for the sketches."""
    photo_column: str = "photo"
    """The column with the photos, in a data set on the Hub or in shards."""
    sketch_column: str = "sketch"
    """The column with the sketches."""
    preset: Literal["none", "released", "seed", "reference"] = "none"
    """The recipe that sets the defaults of the other flags: released is that of the embedded weights, for data with
    pairs; seed is a minimal CycleGAN; reference is the paper's."""
    output: Path = Path("runs/faces")
    """Folder for the releases (epoch-0001, ..., latest, best), the states to resume from, losses.csv, figures.csv."""
    image_size: int = 64
    """Side of the training pictures in pixels: a multiple of 4, or of 8 with --compact, and at least 32. It may change
    with --resume, since it is quick to learn from small pictures first."""
    batch_size: int = 256
    """Pairs per step, in total over all processes and accumulated parts."""
    epochs: int = 15
    """Passes over the larger domain. The learning-rate schedule spans all of them."""
    max_steps: int | None = None
    """Stop after this many steps, with an unchanged schedule. A later --resume continues from there."""
    width: int = 64
    """Channels of the generators' first convolution."""
    blocks: int = 9
    """Residual blocks of each generator."""
    padding: Padding = "reflect"
    """How the generators pad: reflect avoids visible borders, zero is plain zero padding."""
    upsample: Upsample = "transpose"
    """How the generators enlarge: transpose is the paper's way, resize leaves no checkerboard."""
    compact: bool = False
    """Use generators made for the CPU, which process 2 x 2 pixels at a time, with a quarter of the work."""
    grey_sketches: bool = False
    """Make grey sketches. Pencil has no colour, and none can be hidden in a grey sketch."""
    discriminator_width: int = 64
    """Channels of the discriminators' first convolution."""
    learning_rate: float = 2e-4
    """Learning rate of both Adam optimizers, with betas (0.5, 0.999)."""
    learning_rate_batch: int | None = None
    """Batch that --learning-rate is meant for. For another batch, it is scaled by the root of their ratio."""
    decay_from: float = 0.5
    """Share of the run after which the learning rate falls linearly to zero. 1 keeps it constant."""
    cycle_weight: float = 10.0
    """Weight of the cycle loss."""
    identity_weight: float = 5.0
    """Weight of the identity loss. 0 also skips its computation, a third of the step."""
    identity_every: int = 1
    """Compute the identity loss only once in this many steps."""
    paired_weight: float = 0.0
    """Weight of the distance (L1 and SSIM) to the true partner, where a photo and a sketch have the same name."""
    perceptual_weight: float = 0.0
    """Weight of the distance of VGG16's features: of cycled photos, and of photos of sketches with a true partner."""
    perceptual_network: str = "torchvision"
    """Where VGG16 is from: torchvision downloads it, or a safetensors file with the names of torchvision's tensors."""
    likeness_weight: float = 0.0
    """Weight of the likeness of the same photos: what a face recognition network says of them and of the true ones."""
    likeness_network: str | None = None
    """ONNX file of that network. It takes (N, 3, 112, 112) in [-1, 1], as ArcFace's do, and gives (N, D)."""
    palette: bool = False
    """Tell the photo generator the colours of skin, hair and background, read from the photo; each is hidden at random,
    so that it can choose them too."""
    palette_weight: float = 0.0
    """Weight of the distance between the colours that were asked for and those that were painted; needs --palette."""
    recolour: float = 0.0
    """Share of the photos that get another skin, hair and background, to learn colours that the photos lack."""
    style_pattern: str | None = None
    """The style of a sketch is what this regular expression finds in its name: the named group that matches, or the
    first group. Without it, the folders in train/sketches are the styles."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Train on pictures enlarged from so much to so much and then cropped: faces of many scales. At 1, a crop shows
    nine tenths of a picture's side, as in the paper; at 0.9, all of it."""
    warp: float = 0.0
    """Turn, stretch and slant pictures by up to so much (0.1 is 6 degrees or a tenth), partners alike. Useful where
    there are few pairs."""
    start_from: str | None = None
    """Begin with the generators of a release of the same architecture: a folder, USER/NAME, or `embedded`."""
    line_sketches: float = 0.0
    """Share of the sketches that the photo generator sees as beginners draw: bare lines, some few, some as thick as a
    finger's, some filled with pale tones. The target is the photo of the whole sketch."""
    relight: float = 0.0
    """Share of the pictures that the generators see as if a phone had taken them: faded, dark, shadowed, in a lamp's
    colour. The target is the result for the original picture."""
    reconstruction_noise: float = 0.0
    """Largest standard deviation, in [-1, 1], of the noise that is added to fakes before they are translated back, so
    that they can hide less. Each picture's own is drawn between 0 and this value."""
    pool_size: int = 50
    """Older fakes of each domain that are kept for the discriminators. 0 shows only new ones."""
    differentiable_augmentation: bool = False
    """Show the discriminators all pictures in changed colours, shifted and with a hole. This helps small domains."""
    spectral_norm: bool = False
    """Use spectral normalisation in the discriminators, so that they cannot win outright."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generators, which are released. 0 releases the raw ones."""
    gradient_accumulation: int = 1
    """Parts that a batch is computed in. More parts need less memory and give the same result."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Precision of the networks. auto follows `accelerate launch`, or else uses bf16 where the processor has it."""
    compile: bool = False
    """Compile the networks with torch.compile. This takes minutes at the start and makes long runs faster."""
    validation_pictures: int = 100
    """Pairs of test/, matched by name, that score each epoch. `best` is the release with the highest FSIM."""
    resume: ResumeFrom = None
    """Continue from the newest state in the output folder. `--resume hub` downloads that of --push-state first."""
    save_every: int | None = None
    """Also save the state every this many steps. The end of an epoch, SIGTERM and Ctrl-C save it anyway."""
    keep_states: int = 2
    """States to keep. Each holds everything that resuming needs; older ones are deleted."""
    log_every: int = 20
    """Steps between lines in losses.csv and updates of the losses shown, which are means over those steps."""
    tracker: str | None = None
    """Also log to a tracker that Accelerate knows: tensorboard, wandb, trackio, ..."""
    push_to_hub: str | None = None
    """Upload each release to this repository, USER/NAME, in the background, and tag it epoch-N."""
    hub_private: bool = False
    """Create a private repository, and refuse to use an existing public one."""
    hub_best: bool = False
    """Move a tag `best` to the best release. This needs pairs in test/."""
    push_state: bool = False
    """Also upload each state to the branch training-state, so that --resume hub can continue on another machine."""
    data_note: str = ""
    """A note for the model card: what the pictures are, and what their licence allows."""
    seed: int = 0
    """Determines the initial weights and all random choices."""

    @property
    def dataset(self) -> DataSet:
        return DataSet(self.data, self.photo_column, self.sketch_column, self.photos, self.sketches, self.swap_domains)

    def __post_init__(self) -> None:
        _ = self.dataset  # which checks its own flags
        check_bounds(self)
        multiple = 8 if self.compact else 4
        if self.image_size % multiple:
            raise TrainingError(f"--image-size must be a multiple of {multiple}; got {self.image_size}")
        for name in ("hub_private", "hub_best", "push_state"):
            if getattr(self, name) and not self.push_to_hub:
                raise TrainingError(f"--{name.replace('_', '-')} needs --push-to-hub USER/NAME.")
        if self.palette_weight and not self.palette:
            raise TrainingError("--palette-weight needs --palette, because no colours are asked for without it.")
        if self.likeness_weight and not self.likeness_network:
            raise TrainingError("--likeness-weight needs --likeness-network FILE, a face recognition network in ONNX.")
        if self.zoom[0] > self.zoom[1]:
            raise TrainingError(f"--zoom takes a minimum and then a maximum; got {self.zoom[0]} {self.zoom[1]}.")
        if self.resume == "hub" and not self.push_to_hub:
            raise TrainingError("--resume hub needs --push-to-hub USER/NAME, the repository that holds the state.")


PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "released": {
        "image_size": 256,
        "batch_size": 2,
        "learning_rate": 1e-4,
        "width": 32,
        "blocks": 6,
        "compact": True,
        "upsample": "resize",
        "grey_sketches": True,
        "discriminator_width": 32,
        "spectral_norm": True,
        "cycle_weight": 20.0,
        "identity_weight": 0.0,
        "paired_weight": 24.0,
        "palette": True,
        "palette_weight": 5.0,
        "zoom": (0.9, 1.25),
        "line_sketches": 0.25,
        "relight": 0.3,
        "reconstruction_noise": 0.02,
    },  # without --perceptual-weight 1, which downloads a network, and --style-pattern, which is the data's
    "seed": {"padding": "zero", "identity_weight": 0.0, "pool_size": 0, "ema_decay": 0.0, "decay_from": 1.0},
    "reference": {"image_size": 256, "batch_size": 1, "epochs": 200, "ema_decay": 0.0},
}


def read_flags(arguments: list[str]) -> TrainConfig:
    """Return the configuration: flags override the preset, and the preset overrides the defaults."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=PRESETS, default="none")
    preset = parser.parse_known_args(arguments)[0].preset
    default = TrainConfig(preset=preset, **PRESETS[preset])
    return tyro.cli(TrainConfig, args=arguments, description=TrainConfig.__doc__, default=default)


def changed_flags(config: TrainConfig) -> dict[str, str]:
    """Return the settings that differ from their defaults: the recipe, as a person would type it."""
    defaults = TrainConfig()
    return {
        f"--{name.replace('_', '-')}": "" if value is True else str(value)
        for name, value in asdict(config).items()
        if name not in NO_RECIPE and value != getattr(defaults, name)
    }
