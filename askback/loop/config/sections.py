"""The sections of a run's configuration, each checked field by field."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from askback.contracts.records import ASKING, Condition
from askback.contracts.student import Asker, CotForm, Resolver
from askback.contracts.trainer import Method, Recipe

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Track = Literal["direct", "cot", "context", "dialogue", "preference"]
Sampling = Literal["stratified", "uncertainty"]
Selecting = Literal["random", "uncertainty"]
_MODES = ("direct", "closed_book", "cot", *ASKING)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Which questions."""

    path: str = ""
    """Folder with the official files; empty loads the official dataset by name from the hub."""
    train: int = Field(default=2000, ge=1)
    """Rows of the stratified training sub-sample, by default 2,000, and 4,000 of HotpotQA; fewer when the data has fewer."""
    dev: int = Field(default=229, ge=1)
    held_out: int = Field(default=0, ge=0)
    """Rows of train that no track contains, drawn before the training rows and like the dev rows: what is promoted is chosen on them, and
    dev is read once, after that. 0 chooses on dev."""
    recordings: list[str] = []
    """JSONL files of recorded teacher answers, relative to `path`; a dataset from the hub has none."""
    corpus: str = ""
    """JSONL file of passages to retrieve from, relative to `path`; empty for tasks without retrieval."""
    index: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]{0,63})?$")
    """Index that the retriever has already (`askback index build`), in place of `corpus`."""
    sampling: Sampling = "stratified"
    """Which rows of a stratum are taken: any, or those that the student is least certain about."""
    pool: int = Field(default=0, ge=0)
    """Rows that the student is asked about when it is sampled by `uncertainty`; 0 asks about all."""
    samples: int = Field(default=4, ge=2, le=64)
    """Answers sampled for each row of an open task, whose disagreement is the uncertainty."""
    probe: bool = False
    """Ask the student about every training row, however it was sampled, so that tracks can be made of the least certain ones."""

    @model_validator(mode="after")
    def _one_source_of_passages(self) -> "DataConfig":
        if self.index and self.corpus:
            raise ValueError("index: passages come from a standing index or from `corpus`, not from both; drop one of the two")
        return self

    @model_validator(mode="after")
    def _pool_is_enough(self) -> "DataConfig":
        if self.sampling == "uncertainty" and 0 < self.pool < self.train:
            raise ValueError(f"pool: {self.pool} rows to choose from are fewer than the {self.train} of `train`; raise pool, or 0 for all rows")
        return self


class HarvestConfig(Section):
    """How the student drafts and who teaches."""

    teacher: str = "replay"
    """Backend of the teacher service."""
    max_questions: int = Field(default=2, ge=1, le=2)
    concurrency: int = Field(default=32, ge=1, le=1024)
    retrieve: int = Field(default=0, ge=0, le=20)
    """Passages retrieved for each question before the draft; 0 keeps the dataset's own."""
    hint: bool = False
    """Ask the teacher a second time, with the gold answer at hand, where its verdict differs from gold (STaR)."""
    replies: int = Field(default=1, ge=1, le=4)
    """Replies of the teacher to each question, for tracks of several rationales a question; the student reads the first alone."""


class TracksConfig(Section):
    """Which rows become training rows."""

    keep_wrong: bool = False
    """Keep rows whose teacher disagrees with the gold answer."""
    hints: bool = True
    """Drop hinted replies that tell of their hint."""
    leaks: bool = True
    """Drop rows whose clarifying questions tell the answer."""
    duplicates: bool = True
    """Drop questions that were asked before, word for word or nearly so."""
    near_duplicate: float = Field(default=0.7, gt=0, le=1)
    """Share of common word 5-grams (Jaccard) from which two questions are near duplicates."""
    overlap: bool = True
    """Drop questions that share a run of words with a dev question."""
    overlap_words: int = Field(default=8, ge=1)
    """Words of such a run; a shorter question overlaps with a dev question of the same words."""
    length: bool = True
    """Drop questions with a row over the token limit of its track."""
    max_tokens: int = Field(default=0, ge=0)
    """Tokens of a row's prompt and answer together; 0 takes `max_length` of the recipe that trains on the track."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of each class of the questions that went through the filters to train on."""
    by: Selecting = "random"
    """Which of them: any, drawn with the run's seed, or those that the student was least certain about."""
    balance: bool = True
    """Drop rows of the larger class after filtering, for tasks with a closed set of answers."""
    cot: CotForm = CotForm.RATIONALE_FIRST
    """Form of the track `cot`: thought then answer, answer then thought, or each as a task of its own under a prefix."""
    asker: Asker = Asker.TEACHER
    """Whose questions `dialogue` teaches: the teacher's, or the student's own with the answers nearest to them, which is what a round adds."""
    thought_sentences: int | None = Field(default=None, ge=0)
    """Sentences that are kept of a thought in `cot`, from its end; 0 leaves the verdict alone behind the same prompt."""

    replies: int = Field(default=1, ge=1, le=4)
    """Replies to a question whose thoughts become rows of `cot`, each its own, where the verdict is right (Ho et al. 2022)."""
    rationales: float = Field(default=1.0, ge=0, le=1)
    """Share of the questions whose thought is a row of its own in the form `multitask`."""


class TracksSection(TracksConfig):
    """The run's own tracks, and other ways to make them from the same harvest."""

    variants: dict[Name, dict[str, Any]] = {}
    """By name, the fields of this section that differ; `[[adapters]] tracks` names the variant that it trains on."""


class RecipeConfig(Recipe):
    """How adapters are trained, where an adapter says nothing else. A run's TOML may name a `profile` of configs/recipes.toml here,
    which is written out when it is loaded."""

    from_profile: str = ""
    """The profile that was written out; for people, nothing is read by it again."""


class AdapterConfig(Section):
    """One adapter to train."""

    name: Name
    track: Track
    tracks: str = ""
    """Variant of the tracks to train on; empty takes the run's own."""
    method: Method = Method.SFT
    init: str = ""
    """Adapter to start from; empty starts from the base model."""
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Seed of the training; None takes the run's. A run's TOML may give `seeds = [13, 14, 15]`, which is written out as one adapter a seed."""
    family: str = ""
    """Name of the adapter whose `seeds` this one was written out from."""
    recipe: dict[str, Any] = {}
    """Fields of the recipe that differ from the run's `[recipe]`; for method dpo the profile's own differences are among them."""


def condition_of(value: Any) -> Any:
    """`base.direct` and `dialogue.assisted.teacher` as conditions, and what is no text as it is; raises ValueError saying how to name one."""
    if not isinstance(value, str):
        return value
    adapter, _, rest = value.partition(".")
    mode, _, resolver = rest.partition(".")
    if mode not in _MODES:
        raise ValueError(f"{value!r} is not ADAPTER.MODE or ADAPTER.assisted.RESOLVER with a mode of {', '.join(_MODES)}")
    if mode in ASKING and resolver not in list(Resolver):
        raise ValueError(f"{value!r} needs a resolver behind its mode: {', '.join(Resolver)}")
    return Condition(adapter=adapter, mode=mode, resolver=resolver or "none")


Conditions = list[Annotated[Condition, BeforeValidator(condition_of)]]


class EvaluateConfig(Section):
    """Which conditions are measured on the dev questions; none leaves dev unread, which needs `data.held_out`."""

    conditions: Conditions
    concurrency: int = Field(default=32, ge=1, le=1024)


class ChooseConfig(Section):
    """What is measured on the held-out rows, to choose what is promoted."""

    conditions: Conditions = []
    """Empty takes those of `[evaluate]`."""


class TrainConfig(Section):
    """How the adapters are trained."""

    at_once: int = Field(default=1, ge=1, le=64)
    """Trainings handed to the trainer at a time, each as soon as the adapter that it starts from is there; as many run as it has workers."""


class PromoteConfig(Section):
    """When an adapter becomes the student."""

    baseline: str = "base.direct"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Largest Holm-adjusted p-value at which a better condition is promoted."""
    among: list[str] = []
    """Names of the conditions, or pools of seeds (FAMILY.MODE or FAMILY.MODE.RESOLVER), that may be promoted; empty lets all."""
