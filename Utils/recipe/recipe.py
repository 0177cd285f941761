"""The whole configuration of a training run: one frozen dataclass and its named recipes.

The command line (``Utils.recipe.command_line``), ``recipe.json`` and what the trackers record all derive from
``Recipe``; a setting is written down once.
"""

import dataclasses
import importlib
import math
import pathlib
import pkgutil
from typing import Literal

from Utils.command.cli import UserError, assignment, suggest, value_of
from Utils.data import folds
from Utils.files import atomic
from Utils.recipe import durations

RECIPE_FILE = "recipe.json"
OWN = "default"  # a model option left as the model's variant has it


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run does, apart from the data and the machine."""

    model: str = "ConvNext/T"
    """Family/Variant; `python -m Models` lists them. Empty: the very model of --init-from, options too."""
    image_size: int | None = 320
    """Side of the square the model sees, in pixels; None: 1.2 times that of --init-from, by whole 32."""
    init_from: str = ""
    """Weights to begin with: a run folder, a .keras file or a release; another image size or tag list too."""
    which: Literal["best", "last"] = "best"
    """Which model of the run that --init-from names."""
    freeze_body_epochs: int = 0
    """Epochs at first in which the classifier alone learns; then a new optimizer takes all weights."""
    attention: str = OWN
    """Attention of the blocks: eca, se or none; `default` keeps the variant's own, here and below."""
    activation: str = OWN
    """Activation: relu, relu6, silu, hswish, gelu."""
    norm: str = OWN
    """Normalization: layernorm, batchnorm, affine."""
    epsilon: float | None = None
    """Epsilon of the normalizations; None keeps the variant's own, here and below."""
    stochastic_depth: float | None = None
    """Rate at which the last block is dropped in training."""
    dropout: float | None = None
    """Dropout rate in front of the head."""
    compensate_avgpool_var: bool | None = None
    """Double the pooled shortcuts of normalizer-free nets, which restores their variance."""
    input_scaling: str = OWN
    """Scaling of 0..255 inside the model: inception, simple or none."""
    model_options: tuple[str, ...] = ()
    """Any other field of the model's Spec, each as name=value, such as `depths=2,2,4,2`."""

    batch_size_per_device: int = 32
    """Images on each device in a step; the global batch is this times the devices."""
    epochs: int = 100
    """Passes over the training split, or as many times --steps-per-epoch."""
    steps_per_epoch: int | None = None
    """Steps in an epoch; None derives records // global batch from the dataset. With fewer, the next epoch
    goes on in the pass, and all lengths in epochs count these: for huge sets."""
    fold: str = ""
    """I/K leaves fold I of K (by post id) out of the training split, for predictions of it by predict.py."""
    unknown_labels: str = ""
    """CSV of post_id and tag_id (or tag): labels that are not known and count nothing."""
    flip: bool = True
    """Mirror half of the images left to right."""
    crop: tuple[float, float] = (0.87, 0.998)
    """Range of the side of the random square crop, as a share of the image; 1 1 crops nothing."""
    methods: tuple[Literal["area", "bilinear", "bicubic"], ...] = ("area", "bilinear", "bicubic")
    """Resamplers, one drawn for each image."""
    rotation: float = 45.0
    """Largest angle of the random rotation to either side, in degrees."""
    cutout: float = 0.0
    """Largest area of the gray square laid over an image, as a share of it; 0 is off."""
    mixup_alpha: float = 0.8
    """Alpha of the Beta distribution that images and labels are mixed by; 0 is off."""
    augment_on: Literal["host", "device"] = "host"
    """Where images are mirrored, rotated and mixed; device: as part of the step, which frees the host."""

    loss: str = "bce"
    """Loss on logits, summed over the tags and averaged over the images: bce, focal or asl."""
    focal_alpha: float = 0.25
    """Focal loss: weight of the positive labels."""
    focal_gamma: float = 2.0
    """Focal loss: exponent of the focusing factor."""
    asl_gamma_neg: float = 0.0
    """Asymmetric loss: focusing exponent of the negative labels."""
    asl_gamma_pos: float = 0.0
    """Asymmetric loss: focusing exponent of the positive labels."""
    asl_clip: float = 0.0
    """Asymmetric loss: probability under which a negative label costs nothing."""
    label_smoothing: float = 0.0
    """Labels are moved from 0 and 1 towards one half by this share."""
    tag_weights: str = ""
    """Column of the dataset's selected_tags.csv with a factor, 0 or more, for each tag's part of the loss."""

    optimizer: str = "lamb"
    """Optimizer: sgd, lamb, adamw and others of Utils/training/optimizers.py."""
    learning_rate: float = 5e-4
    """Peak learning rate at a global batch of `learning_rate_batch_size`."""
    learning_rate_batch_size: int = 256
    """Global batch the learning rate is meant for; other batches scale it linearly; 0 never scales."""
    schedule: str = "cosine"
    """Course of the learning rate after the warm-up: cosine or constant."""
    warmup: str = "0 epochs"
    """Length of the linear warm-up, in epochs, steps or images."""
    warmup_start: float = 0.1
    """Where the warm-up starts, as a share of the peak."""
    floor: float = 0.01
    """Where the cosine ends, as a share of the peak."""
    momentum: float | None = None
    """Momentum of SGD (Nesterov's, 0.9 unless set) and others that have one."""
    optimizer_options: tuple[str, ...] = ()
    """Other options of the optimizer, each as name=value, such as `beta_1=0.95`."""
    weight_decay: float = 0.0
    """Weight decay; what a model lists as NO_DECAY is left out."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each block to the one below it; 1 is off."""
    agc: float = 0.0
    """Adaptive gradient clipping of the global batch's gradient; 0 is off. The original clipped each of 8
    replicas' share at 0.01 before adding them up, so up to 0.08 in these terms."""
    gradient_accumulation: int = 1
    """Steps whose gradients are averaged into one update; 1 is off."""
    ema: float = 0.0
    """Momentum of the averaged weights that are evaluated and saved, such as 0.9999; 0 is off."""

    seed: int = 0
    """Seed of the weights, the masks, the order of the data and its augmentation."""
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """What is computed in which precision; weights are float32 always."""
    jit_compile: Literal["auto", "on", "off"] = "auto"
    """XLA: auto compiles on accelerators only, since it is slower on CPU."""
    steps_per_execution: int = 1
    """Steps that run in one call on the device; must divide the steps of an epoch."""
    checkpoint_every: str = "10m"
    """Length between checkpoints within an epoch, in steps, images or time; each epoch ends with one."""
    keep_checkpoints: int = 2
    """Checkpoints kept, the newest ones."""
    tracker: Literal["wandb", "tensorboard", "none"] = "wandb"
    """Where curves go besides history.csv; W&B stays offline unless WANDB_API_KEY or WANDB_MODE is set."""
    project: str = "sw-cv-modelzoo"
    """Project name for the tracker."""

    def __post_init__(self):
        for rule, names in RULES.items():
            for name in names:
                _require(rule, name, getattr(self, name))
        low, high = self.crop
        if not 0 < low <= high <= 1:
            raise UserError(f"--crop takes two shares with 0 < low <= high <= 1; got {low:g} {high:g}")
        if not self.methods:
            raise UserError("--methods takes at least one of area, bilinear, bicubic; got none")
        durations.parse(self.warmup)
        durations.parse(self.checkpoint_every, time=True)
        folds.parse(self.fold)
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay must be above 0 and at most 1; got {self.layer_decay:g}")
        if not 0 <= self.freeze_body_epochs < self.epochs:
            raise UserError(
                "--freeze-body-epochs must be at least 0 and below --epochs; "
                f"got {self.freeze_body_epochs} of {self.epochs}"
            )
        self.model_overrides()
        self.optimizer_overrides()

    def model_overrides(self):
        """Return the fields of the model's Spec that this recipe sets, ``{name: value}``."""
        named = {name: getattr(self, name) for name in MODEL_FIELDS}
        chosen = {name: value for name, value in named.items() if value is not None and value != OWN}
        options = dict(assignment("--model-options", text) for text in self.model_options)
        return {
            name: value_of(value) if isinstance(value, str) else value for name, value in chosen.items()
        } | options

    def optimizer_overrides(self):
        """Return the options of the optimizer that this recipe sets, ``{name: value}``."""
        momentum = {} if self.momentum is None else {"momentum": self.momentum}
        return momentum | dict(assignment("--optimizer-options", text) for text in self.optimizer_options)

    def loss_options(self):
        """Return the options of the chosen loss: the fields that begin with its name, and the smoothing."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {name: value for name, value in fields.items() if name.startswith(f"{self.loss}_")}
        options = {name.removeprefix(f"{self.loss}_"): value for name, value in own.items()}
        return {**options, "label_smoothing": self.label_smoothing}

    def augmentation(self):
        """Return the fields that say how training images are drawn, ``{name: value}``."""
        return {name: getattr(self, name) for name in AUGMENTATION}

    def peak(self, batch_size):
        """Return the peak learning rate at ``batch_size`` images an update."""
        scale = batch_size / self.learning_rate_batch_size if self.learning_rate_batch_size else 1.0
        return self.learning_rate * scale

    def steps(self, records, batch_size):
        """Return the steps of an epoch: those asked for, else as many whole batches as ``records`` fill.

        At least one. Raises UserError unless they are a whole number of executions.
        """
        steps = self.steps_per_epoch or max(1, records // batch_size)
        chunk = self.steps_per_execution
        if steps % chunk:
            raise UserError(
                f"the {steps} steps of an epoch are no multiple of --steps-per-execution {chunk}; "
                f"--steps-per-epoch {max(1, steps // chunk) * chunk} would be one"
            )
        return steps

    def to_dict(self):
        """Return the fields as JSON holds them (tuples are lists)."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


MODEL_FIELDS = (
    "attention", "activation", "norm", "epsilon", "stochastic_depth", "dropout", "compensate_avgpool_var",
    "input_scaling",
)  # fmt: skip
AUGMENTATION = ("flip", "crop", "methods", "rotation", "cutout", "mixup_alpha", "augment_on")
RULES = {
    "at least 1": (
        "image_size", "batch_size_per_device", "epochs", "steps_per_epoch", "gradient_accumulation",
        "steps_per_execution", "keep_checkpoints",
    ),
    "at least 0": (
        "learning_rate_batch_size", "rotation", "mixup_alpha", "focal_gamma", "asl_gamma_neg",
        "asl_gamma_pos", "weight_decay", "agc",
    ),
    "above 0": ("learning_rate", "epsilon"),
    "from 0 to 4294967295": ("seed",),
    "at least 0 and below 1": (
        "stochastic_depth", "dropout", "momentum", "ema", "label_smoothing", "asl_clip",
    ),
    "between 0 and 1": ("cutout", "focal_alpha", "warmup_start", "floor"),
}  # fmt: skip
TESTS = {
    "at least 1": lambda value: value >= 1,
    "at least 0": lambda value: value >= 0,
    "above 0": lambda value: value > 0,
    "from 0 to 4294967295": lambda value: 0 <= value < 2**32,
    "at least 0 and below 1": lambda value: 0 <= value < 1,
    "between 0 and 1": lambda value: 0 <= value <= 1,
}


def _require(rule, name, value):
    if value is not None and not (math.isfinite(value) and TESTS[rule](value)):
        raise UserError(f"--{name.replace('_', '-')} must be {rule}; got {value:g}")


def recipe_names():
    """Return the names of the recipes, one for each file of Utils/recipe/recipes."""
    return sorted(
        module.name for module in pkgutil.iter_modules([str(pathlib.Path(__file__).parent / "recipes")])
    )


def load_recipe(name, before=None):
    """Return the Recipe of that name; a UserError lists what exists.

    ``before`` is the Recipe that made the weights to begin with; some recipes go on as it did.
    """
    module = _module(name)
    return module.after(before) if before is not None and hasattr(module, "after") else module.RECIPE


def recipe_docstring(name):
    """Return what the recipe's file says about it: command, cost, expected score."""
    return _module(name).__doc__ or ""


def _module(name):
    if name not in recipe_names():
        raise UserError(
            f"no recipe is named {name!r}{suggest(name, recipe_names())}; there are "
            f"{', '.join(recipe_names())}"
        )
    return importlib.import_module(f"Utils.recipe.recipes.{name}")


def write_recipe(path, name, chosen):
    """Write ``recipe.json``: the recipe's name and every field."""
    atomic.write_json(path, {"recipe": name, **chosen.to_dict()})


def read_recipe(path):
    """Return ``(name, fields)`` of a ``recipe.json``."""
    fields = atomic.read_json(path)
    return fields.pop("recipe", None), fields


def recipe_from_dict(fields):
    """Return the Recipe of the fields of a ``recipe.json``; absent ones have their defaults."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise UserError(f"a recipe has no field {unknown[0]!r}{suggest(unknown[0], known)}")
    return Recipe(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    )
