"""Schemas of the trainer service."""

from enum import StrEnum

from pydantic import Field

from askback.contracts.records import Record


class Method(StrEnum):
    SFT = "sft"
    DPO = "dpo"


class SignalLoss(StrEnum):
    """What a dataset can lose on its way into the model without a word."""

    TRUNCATED = "truncated"
    """Rows over `max_length`, which lose the end of their reply."""
    DROPPED = "dropped"
    """Rows whose prompt alone fills `max_length`."""
    MASKED = "masked"
    """Rows of which no token carries loss."""


class Sharding(StrEnum):
    """How several cards share one job."""

    DDP = "ddp"
    """Each card holds the model and takes its share of every batch."""
    FSDP = "fsdp"
    """Each card holds a share of the model too, for models that fit no single card."""


class Reporting(StrEnum):
    """Where transformers' own reporting can send a training's curves."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"
    TRACKIO = "trackio"


class Recipe(Record):
    """Hyper-parameters of one job; the defaults are the plan's (3 epochs, lr 2e-4, LoRA of rank 16 on all linear layers)."""

    epochs: float = Field(default=3.0, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    lora_rank: int = Field(default=16, ge=1, le=256)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Above 0 every adapter keeps its own dropped copy of its input, which more than doubles the memory of a step."""
    batch_size: int = Field(default=4, ge=1)
    """Rows of one pass; with `gradient_accumulation` the rows of one step, which is what learning depends on."""
    gradient_accumulation: int = Field(default=1, ge=1)
    fit: bool = True
    """On a GPU, regroup the rows of a step into the passes that train fastest within the card's memory; False trains as written."""
    max_length: int = Field(default=256, ge=16)
    """Tokens of prompt and completion together; a row over it fails the job unless `allow` names what it loses."""
    four_bit: bool = False
    """Load the base in NF4 with double quantisation (QLoRA)."""
    gradient_checkpointing: bool | None = None
    """Keep only the layers' borders and compute the rest again; None lets the fit decide, and is off where nothing is fitted."""
    allow: list[SignalLoss] = Field(default_factory=list)
    """Losses of signal that do not fail the job."""
    gpus: int = Field(default=1, ge=1, le=64)
    """Cards of one machine that train the job together; they share each step's rows."""
    sharding: Sharding = Sharding.DDP
    report_to: list[Reporting] = Field(default_factory=list)
    dpo_beta: float = Field(default=0.1, gt=0)
    dpo_sft_weight: float = Field(default=0.2, ge=0)
    """Weight of the SFT term beside the DPO loss, which keeps the chosen answers' likelihood from falling."""

    @property
    def sharded(self) -> bool:
        """Whether each card holds a share of the model alone, which takes more than one card."""
        return self.gpus > 1 and self.sharding is Sharding.FSDP


class TrainRequest(Record):
    """One adapter to train. Sent again unchanged, it names the same job."""

    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """Folder under the run's `adapters/`."""
    method: Method = Method.SFT
    dataset: str
    """Track file, relative to the run's folder."""
    init_adapter: str = ""
    """Adapter folder, relative to the run's folder, that DPO starts from; empty for the base model."""
    recipe: Recipe = Recipe()
    seed: int = 0


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Progress(Record):
    """Where a running job stands."""

    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    tokens_per_s: float | None = None
    seconds_left: float | None = None
    memory_gib: float | None = None
    """Most memory that the process has held so far: of the card on a GPU, else of the machine."""
    note: str = ""
    """What the job waits for before its first step, in one line."""


class LossPoint(Record):
    step: int
    loss: float


class FitPlan(Record):
    """How a job was fitted to its card."""

    micro_batch: int
    """Rows of one pass on one card."""
    gradient_accumulation: int
    """Passes of one step."""
    layers: dict[str, int]
    """Decoder layers by what they save of memory: `none`, `mlp` (compute the MLP's inner tensors again) or `layer` (all but the layer's input)."""
    budget_gib: float
    """Memory that the plan may use."""
    peak_gib: float
    """Memory that a pass over the longest rows took."""
    rows_per_s: float
    """Speed of the probe's pass over rows of mean length."""
    reason: str
    """One line for people."""
    replayed: bool = False
    """Whether the decoder layers' passes are recorded once and replayed by the card, without the host."""


class Job(Record):
    id: str
    state: JobState
    request: TrainRequest
    progress: Progress = Progress()
    losses: list[LossPoint] = Field(default_factory=list)
    fit: FitPlan | None = None
    """Set once a GPU was probed; a resumed job keeps it, since its checkpoints depend on it."""
    adapter: str = ""
    """Adapter folder relative to the run's folder, once done."""
    error: str = ""
    """One line, once failed."""
    error_kind: str = "ServiceError"
    """Name of the error's class in `contracts.errors`."""
