"""Schemas of the trainer service."""

from enum import StrEnum

from pydantic import Field

from askback.contracts.records import Record


class Method(StrEnum):
    SFT = "sft"
    DPO = "dpo"


class Recipe(Record):
    """Hyper-parameters of one job; the defaults are the plan's (QLoRA, 3 epochs, lr 2e-4)."""

    epochs: float = Field(default=3.0, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    lora_rank: int = Field(default=16, ge=1, le=256)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    max_length: int = Field(default=256, ge=16)
    """Tokens of prompt and completion together; a row over it fails the job unless `allow_truncation`."""
    four_bit: bool = False
    """Load the base in NF4 with double quantisation (QLoRA)."""
    gradient_checkpointing: bool = False
    allow_truncation: bool = False
    dpo_beta: float = Field(default=0.1, gt=0)
    dpo_sft_weight: float = Field(default=0.2, ge=0)
    """Weight of the SFT term beside the DPO loss, which keeps the chosen answers' likelihood from falling."""


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
    note: str = ""
    """What the job waits for before its first step, in one line."""


class LossPoint(Record):
    step: int
    loss: float


class Job(Record):
    id: str
    state: JobState
    request: TrainRequest
    progress: Progress = Progress()
    losses: list[LossPoint] = Field(default_factory=list)
    adapter: str = ""
    """Adapter folder relative to the run's folder, once done."""
    error: str = ""
    """One line, once failed."""
    error_kind: str = "ServiceError"
    """Name of the error's class in `contracts.errors`."""
