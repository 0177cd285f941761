"""The groups of settings that a Recipe joins: each field has its type, limit, default and help in one place.

A function that needs a few settings takes their group (one more is in ``Utils.images.augmentation``). Other
code reads names, defaults and limits from here: ``LossOptions.focal_gamma`` is the default.
"""

import dataclasses
from typing import Annotated, Any, Literal

from Utils.command.cli import UserError, assignment, suggest, value_of
from Utils.command.limits import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    FROM_0_BELOW_1,
    FROM_0_TO_1,
    Checked,
    Limit,
    above_0_to,
    from_0_to,
)

VARIANT_DEFAULT = "default"  # a model option left as the model's variant has it

_A_SHARE = above_0_to(1)
# Far beyond what anybody trains with; from there on losses and weights are soon infinite.
_A_SIZE, _A_FACTOR = from_0_to(1000), above_0_to(1000)
_AN_EXPONENT = _A_MARGIN = from_0_to(100)
_A_TEMPERATURE = Limit("from 0.001 to 1000", lambda value: 0.001 <= value <= 1000)
_A_LAMBDA = Limit("from 1 to 100", lambda value: 1 <= value <= 100)


def _with_assignments(options: dict[str, Any], flag: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Return options and what ``name=value`` texts of a flag add; UserError for a name that comes twice."""
    options = dict(options)
    for name, value in (assignment(flag, text) for text in texts):
        if name in options:
            raise UserError(
                f"{flag} {name}={value}: {name} has been given already, as {options[name]}; leave one out"
            )
        options[name] = value
    return options


@dataclasses.dataclass(frozen=True)
class StartOptions(Checked):
    """Which model is trained, and from which initial weights."""

    model: str = "ConvNext/T"
    """Family/Variant; `python -m Models` lists them. Empty: the model of --init-from with its options."""
    image_size: Annotated[int | None, AT_LEAST_1] = 320
    """Side of the square the model sees, in pixels; None: that of --init-from."""
    init_from: str = ""
    """Weights to begin with: a run folder, a .keras file, a release, a timm folder or a model on the hub
    (owner/name, hf://owner/name@revision); also of another image size or tag list."""
    which: Literal["best", "last"] = "best"
    """Which model of the run that --init-from names."""
    source_order: Literal["auto", "bgr", "rgb"] = "auto"
    """Channels that a timm folder given to --init-from takes; auto: as its files tell, else it is refused."""
    freeze_body_epochs: Annotated[int, AT_LEAST_0] = 0
    """Epochs at first in which only the classifier learns; then a new optimizer trains all weights."""
    probe: bool = False
    """Train the classifier alone, on features that the body computes once for every picture."""
    prior_bias: bool = True
    """Outputs that have no weights yet start at what the loss expects of their tags' frequencies in the
    training split (after arXiv:1708.02002), for bce the log-odds; off: at probability one half."""


@dataclasses.dataclass(frozen=True)
class ModelOverrides(Checked):
    """Options in which the model differs from its variant, named like the fields of its Spec."""

    head: str = VARIANT_DEFAULT
    """From the last block to the tags: gap (averages), token (class token), map (attention pooling of one
    query), ml_decoder (queries, each for a group of tags); `default` keeps the variant's, here and below."""
    attention: str = VARIANT_DEFAULT
    """Attention of the blocks: eca, se or none."""
    activation: str = VARIANT_DEFAULT
    """Activation: relu, relu6, silu, hswish, gelu."""
    norm: str = VARIANT_DEFAULT
    """Normalization: layernorm, batchnorm, affine."""
    epsilon: Annotated[float | None, _A_SHARE] = None
    """Epsilon of the normalizations; None keeps the variant's, here and below."""
    stochastic_depth: Annotated[float | None, FROM_0_BELOW_1] = None
    """Rate at which the last block is dropped in training."""
    dropout: Annotated[float | None, FROM_0_BELOW_1] = None
    """Dropout rate in front of the head."""
    compensate_avgpool_var: bool | None = None
    """Double the pooled shortcuts of normalizer-free nets, which restores their variance."""
    input_scaling: str = VARIANT_DEFAULT
    """Scaling of 0..255 inside the model: inception, simple or none."""
    model_options: tuple[str, ...] = ()
    """Any other field of the model's Spec, each as name=value, for example `depths=2,2,4,2`."""

    def model_overrides(self) -> dict[str, Any]:
        """Return the fields of the model's Spec that differ from its variant, ``{name: value}``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(ModelOverrides)}
        options = fields.pop("model_options")
        overrides = {
            name: value_of(value) if isinstance(value, str) else value
            for name, value in fields.items()
            if value not in (None, VARIANT_DEFAULT)
        }
        return _with_assignments(overrides, "--model-options", options)


@dataclasses.dataclass(frozen=True)
class DataOptions(Checked):
    """Batches, epochs, and which records and labels of the dataset are trained on."""

    batch_size_per_device: Annotated[int, AT_LEAST_1] = 32
    """Images on each device in a step; the global batch is this times the number of devices."""
    epochs: Annotated[int, AT_LEAST_1] = 100
    """Passes over the training split; with --steps-per-epoch, so many times that number of steps."""
    early_stopping: Annotated[int, AT_LEAST_0] = 0
    """Epochs without a better validation score (`best_by`) after which training ends; 0: never before the
    last."""
    best_by: Literal["f1", "macro_f1", "balanced_f1", "loss"] = "f1"
    """Validation score that decides which epoch's model is best.keras; balanced_f1 is the mean of the F1 of
    the tags that the source knew and of the new ones."""
    steps_per_epoch: Annotated[int | None, AT_LEAST_1] = None
    """Steps in an epoch; None derives records // global batch from the dataset. Fewer are for huge datasets:
    the next epoch continues the pass, and all lengths in epochs count these epochs."""
    fold: str = ""
    """I/K leaves fold I of K (by post id) out of the training split, for predictions of it by predict.py."""
    unknown_labels: str = ""
    """CSV of post_id and tag_id (or tag): labels that are unknown and do not count in the loss."""
    teacher: str = ""
    """Dump with predictions of the training posts: where a label is absent and p above the tag's threshold,
    the target is p instead of 0. They should come from another model, or from folds left out in turn."""
    teacher_thresholds: str = ""
    """thresholds.csv for --teacher; without it, and for tags that it lacks, the threshold at which the dump
    has as many tags as labels, 0.5 for a dump without labels."""
    teacher_weight: Annotated[float, _A_SHARE] = 1.0
    """Factor of the teacher's probabilities."""
    packed_labels: Literal["auto", "on", "off"] = "auto"
    """Send the labels of a batch to the device as the few that are not 0, for the same loss and gradients.
    auto does from 4,096 tags on, without --unknown-labels and --teacher, where posts.parquet says how many
    labels an image has."""
    sampling: Literal["uniform", "repeat_factor"] = "uniform"
    """How often a record comes in a pass: once, or by repeat factors (arXiv:1908.03195) max(1, sqrt(t / f))
    times, t the threshold, f the share of the records that has its rarest tag. Lengths in epochs count the
    repeats."""
    sampling_threshold: Annotated[float | None, _A_SHARE] = None
    """Share of the records below which a tag is repeated; None: the median of the tags' shares."""

    def record_options(self) -> dict[str, Any]:
        """Return what decides which records are trained on, how often, and which labels count."""
        names = ("fold", "unknown_labels", "sampling", "sampling_threshold")
        names += ("teacher", "teacher_thresholds", "teacher_weight")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class LossOptions(Checked):
    """The loss and the options of every loss, each with the loss's name in front: focal_gamma, asl_clip."""

    loss: str = "bce"
    """Loss on logits, averaged over the images: bce, focal, asl; for labels that lack positives hill, splc,
    ll_r, ll_ct, ral, two_way, zlpr, epr."""
    focal_alpha: Annotated[float, FROM_0_TO_1] = 0.25
    """Focal loss: weight of the positive labels."""
    focal_gamma: Annotated[float, _AN_EXPONENT] = 2.0
    """Focal loss: exponent of the focusing factor."""
    asl_gamma_neg: Annotated[float, _AN_EXPONENT] = 0.0
    """Asymmetric loss: focusing exponent of the negative labels."""
    asl_gamma_pos: Annotated[float, _AN_EXPONENT] = 0.0
    """Asymmetric loss: focusing exponent of the positive labels."""
    asl_clip: Annotated[float, FROM_0_BELOW_1] = 0.0
    """Asymmetric loss: probability under which a negative label costs nothing."""
    asl_stop_focus_gradient: bool = False
    """Asymmetric loss: the focusing weight is a constant for the gradient, as in the loss's official code;
    off, as in the original zoo and its sweeps, the gradient passes through it."""
    hill_lam: Annotated[float, _A_LAMBDA] = 1.5
    """Hill loss: lambda of the negatives' (lambda - p) p^2."""
    hill_margin: Annotated[float, _A_MARGIN] = 1.0
    """Hill loss: margin of the positives' logits."""
    hill_gamma: Annotated[float, _AN_EXPONENT] = 2.0
    """Hill loss: focusing exponent of the positive labels."""
    splc_tau: Annotated[float, FROM_0_TO_1] = 0.6
    """SPLC: probability above which a negative label is taken for a missed positive."""
    splc_margin: Annotated[float, _A_MARGIN] = 1.0
    """SPLC: margin of the positives' logits."""
    splc_gamma: Annotated[float, _AN_EXPONENT] = 2.0
    """SPLC: focusing exponent."""
    splc_change_epoch: Annotated[int, AT_LEAST_0] = 1
    """SPLC: first epoch, from 0, that corrects labels."""
    ll_r_delta_rel: Annotated[float, from_0_to(100)] = 0.2
    """LL-R: percent of the known labels, more with every epoch, whose negative terms are rejected: the
    largest of a batch, on tensorflow of each replica's share of it."""
    ll_ct_delta_rel: Annotated[float, from_0_to(100)] = 0.2
    """LL-Ct: as LL-R, but the terms are turned into those of positives."""
    ral_lam: Annotated[float, _A_LAMBDA] = 1.5
    """RAL: lambda of the negatives' factors."""
    ral_gamma_neg: Annotated[float, _AN_EXPONENT] = 4.0
    """RAL: focusing exponent of the negative labels."""
    ral_gamma_pos: Annotated[float, _AN_EXPONENT] = 0.0
    """RAL: focusing exponent of the positive labels."""
    ral_clip: Annotated[float, FROM_0_BELOW_1] = 0.05
    """RAL: probability under which a negative label costs nothing."""
    two_way_T_p: Annotated[float, _A_TEMPERATURE] = 4.0  # noqa: N815  the paper's name
    """Two-way loss: temperature of the positive labels."""
    two_way_T_n: Annotated[float, _A_TEMPERATURE] = 1.0  # noqa: N815
    """Two-way loss: temperature of the negative labels."""
    two_way_part: Literal["both", "sample", "class"] = "both"
    """Two-way loss: over the tags of each image, over the images of each tag, or both."""
    epr_expected_positives: Annotated[float | None, ABOVE_0] = None
    """EPR: labels that an image has on average; None: the mean of the training records. That counts only the
    labels that are there: where a share m of them is missing, give mean / (1 - m)."""
    epr_weight: Annotated[float, from_0_to(1_000_000)] = 1.0
    """EPR: weight of (mean - expected)^2 / number of tags; the mean is that of the sums of the images'
    probabilities, over the batch, on tensorflow over each replica's share of it. The paper's 1 holds it
    weakly: outputs that know only 10 labels of 100 tags expect 28, with 10 they expect 14, with 100 10.5."""
    label_smoothing: Annotated[float, FROM_0_BELOW_1] = 0.0
    """Labels are moved from 0 and 1 towards one half by this share."""
    tag_weights: str = ""
    """Column of the dataset's selected_tags.csv with a factor, 0 or more, for each tag's part of the loss;
    class_balanced needs no column: by the tags' counts (arXiv:1901.05555, beta 0.999)."""

    def loss_options(self) -> dict[str, Any]:
        """Return the options of the chosen loss by their short names, and label_smoothing.

        ``LossOptions(loss="focal").loss_options()`` are the defaults of the focal loss.
        """
        prefix = f"{self.loss}_"
        names = [field.name for field in dataclasses.fields(LossOptions) if field.name.startswith(prefix)]
        options = {name.removeprefix(prefix): getattr(self, name) for name in names}
        return {**options, "label_smoothing": self.label_smoothing}

    @classmethod
    def for_loss(
        cls, loss: str, *, label_smoothing: float = label_smoothing, **options: Any
    ) -> "LossOptions":
        """Return the options of one loss from their short names: ``for_loss("focal", gamma=1.0)``.

        The other losses keep their defaults. Raises UserError for an option that the loss does not have and
        for a value outside its limits.
        """
        names = LossOptions(loss).loss_options()
        for name in options:
            if name not in names:
                raise UserError(
                    f"loss {loss} has no option {name!r}{suggest(name, names)}; it has {', '.join(names)}"
                )
        prefixed: dict[str, Any] = {f"{loss}_{name}": value for name, value in options.items()}
        return cls(loss=loss, label_smoothing=label_smoothing, **prefixed)


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Checked):
    """The optimizer, its learning rate over time, and what is done to gradients and weights in a step."""

    optimizer: str = "lamb"
    """Optimizer: sgd, lamb, adamw and others of Utils/training/optimizers.py."""
    learning_rate: Annotated[float, _A_FACTOR] = 5e-4
    """Peak learning rate at a global batch of `learning_rate_batch_size`."""
    learning_rate_batch_size: Annotated[int, AT_LEAST_0] = 256
    """Global batch the learning rate is meant for; another batch scales it linearly; 0 never scales it."""
    schedule: str = "cosine"
    """Course of the learning rate after the warm-up: cosine, wsd (stable, then a decay) or constant."""
    warmup: str = "0 epochs"
    """Length of the linear warm-up, in epochs, steps or images."""
    warmup_start: Annotated[float, FROM_0_TO_1] = 0.1
    """Where the warm-up starts, as a share of the peak."""
    floor: Annotated[float, FROM_0_TO_1] = 0.01
    """Where cosine and wsd end, as a share of the peak."""
    decay_share: Annotated[float, _A_SHARE] = 0.2
    """Schedule wsd: share of all steps, at the end, in which the learning rate falls."""
    momentum: float | None = None
    """Momentum of SGD (Nesterov's, 0.9 by default) and of the others that have one."""
    optimizer_options: tuple[str, ...] = ()
    """Other options of the optimizer, each as name=value, for example `beta_1=0.95`."""
    weight_decay: Annotated[float, _A_SIZE] = 0.0
    """Weight decay; what a model lists as NO_DECAY is left out."""
    layer_decay: Annotated[float, _A_SHARE] = 1.0
    """Factor of the learning rate from each block to the one below it; 1 is off."""
    learned_rate_factor: Annotated[float, _A_FACTOR] = 1.0
    """Factor of the learning rate of what the source of --init-from has learned: the body, and the rows of
    the classifier for kept tags; new rows have the full rate. 1 is off; --layer-decay multiplies it."""
    agc: Annotated[float, AT_LEAST_0] = 0.0
    """Adaptive gradient clipping of the global batch's gradient; 0 is off. The original clipped each of 8
    replicas' share at 0.01 before adding them up, so up to 0.08 in these terms."""
    global_clipnorm: Annotated[float, AT_LEAST_0] = 0.0
    """Largest norm of the global batch's gradient, of all weights together; 0 does not clip."""
    gradient_accumulation: Annotated[int, AT_LEAST_1] = 1
    """Steps whose gradients are averaged into one update; 1 is off."""
    ema: Annotated[float, FROM_0_BELOW_1] = 0.0
    """Momentum of the averaged weights that are evaluated and saved, for example 0.9999; 0 is off."""
    batch_norm_momentum: Annotated[float, FROM_0_BELOW_1] = 0.99
    """Momentum of batch norm's moving averages; 0.9 (in PyTorch 0.1) follows short runs better."""
    batch_norm_images: Annotated[int, AT_LEAST_0] = 0
    """Training images over which batch norm's statistics are measured anew at the end of every epoch, for the
    weights that are evaluated and saved (arXiv:2105.07576); 0 takes the moving averages."""

    def optimizer_overrides(self) -> dict[str, Any]:
        """Return the options of the optimizer that differ from its defaults, ``{name: value}``.

        Only ``Utils.training.optimizers`` knows which options an optimizer has and what they allow.
        """
        momentum = {} if self.momentum is None else {"momentum": self.momentum}
        return _with_assignments(momentum, "--optimizer-options", self.optimizer_options)

    def peak_learning_rate(self, batch_size: int) -> float:
        """Return the peak learning rate at ``batch_size`` images an update."""
        scale = batch_size / self.learning_rate_batch_size if self.learning_rate_batch_size else 1.0
        return self.learning_rate * scale


@dataclasses.dataclass(frozen=True)
class RunOptions(Checked):
    """How the machine computes, and what a run keeps and reports."""

    seed: Annotated[int, Limit("from 0 to 4294967295", lambda value: 0 <= value < 2**32)] = 0
    """Seed of the weights, the masks, the order of the data and its augmentation."""
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"] = "float32"
    """Precision of the computation; weights are always float32. auto: mixed_bfloat16 on TPUs and on CPUs with
    AMX, whose matrix units take bfloat16, else float32; the run records which."""
    gradient_dtype: Literal["compute", "float32"] = "compute"
    """In which precision devices add up their parts of a weight's gradient: that of the layers, or float32,
    with mixed_bfloat16 on jax twice as many bytes for devices to send. On tensorflow always float32."""
    jit_compile: Literal["auto", "on", "off"] = "auto"
    """XLA: auto compiles on accelerators only, since it is slower on CPU."""
    attention_implementation: Literal["auto", "fused", "plain"] = "auto"
    """Self-attention: plain keeps the weights of all pairs of tokens, fused computes them piece by piece;
    auto is fused for 1,024 tokens or more on a TPU with jax, else plain. The same but for rounding."""
    rematerialize: Literal["none", "blocks", "auto"] = "none"
    """blocks: keep the inputs of blocks only and compute the rest again in the backward pass: the same
    numbers with less memory and about a third more work. auto: blocks where the compiled step does not fit
    into the memory of a device without, on jax's accelerators and with --topology, else none; the run records
    which and why."""
    shard_model: Annotated[int, AT_LEAST_1] = 1
    """Devices that weights, gradients and optimizer state are spread over, on jax; a divisor of their number.
    1: every device has all of them. The batch and the result do not depend on it."""
    steps_per_execution: Annotated[int, AT_LEAST_1] = 1
    """Steps that run in one call on the device; must divide the steps of an epoch."""
    profile: Annotated[int | None, AT_LEAST_0] = None
    """Step from which on three steps are profiled, to RUN/profile, for TensorBoard; None: no profile."""
    checkpoint_every: str = "10m"
    """Length between checkpoints within an epoch, in steps, images or time; each epoch ends with one."""
    keep_checkpoints: Annotated[int, AT_LEAST_1] = 2
    """Number of newest checkpoints to keep."""
    tracker: Literal["wandb", "tensorboard", "none"] = "wandb"
    """Where curves go besides history.csv; W&B stays offline unless WANDB_API_KEY or WANDB_MODE is set."""
    project: str = "sw-cv-modelzoo"
    """Project name for the tracker."""
