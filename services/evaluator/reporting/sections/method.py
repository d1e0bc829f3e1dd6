"""How the run was made and how it is measured."""

from services.evaluator.reporting.document import Block, Bullets, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import BASE, TARGET_POINTS
from services.evaluator.reporting.wording import counted
from services.evaluator.stats.intervals import RESAMPLES
from services.evaluator.stats.paired import ALPHA

LOOP = (
    "**Draft.** The student gives an answer and one or two clarifying questions.",
    "**Teacher.** A stronger model answers them, reasons step by step and gives its verdict.",
    "**Rewrite.** The student answers again, with the teacher's answers before it. Every row is kept, with its cost and its errors.",
    "**Tracks.** The rows become training corpora. Each filter is counted below, with the balance of the classes before and after.",
    "**Train.** Each track trains a LoRA adapter on the student.",
    "**Evaluate.** Each adapter answers the same test questions, in the modes named below; the teacher's verdict is never in what it reads.",
)
_TRACKS = {
    "direct": ("question → answer", "System 1: answer at once"),
    "cot": ("question → reasoning and answer", "reason, then answer"),
    "context": ("facts and question → answer", "use what was answered"),
    "dialogue": ("question → clarifying questions; their answers → answer", "System 2: ask, then answer"),
    "preference": ("teacher-corrected answer over the student's draft (DPO)", "prefer the corrected answer"),
}
_MODES = {
    "direct": "the question alone, answered at once (with its passages, where the task gives any)",
    "closed_book": "`direct` without the question's passages",
    "cot": "reasoning and answer in one text",
    "context": "the student asks; the answers are read as facts before the question, in one turn",
    "assisted": "the student asks; the answers come as the next turn of the dialogue",
    "tutored": "`assisted` with the teacher's questions in place of the student's: a yardstick, never the best condition",
}
_RESOLVERS = {
    "teacher": "the teacher's answers, without its verdict",
    "retriever": "passages that were retrieved for the question",
    "both": "retrieved passages and the teacher's answers",
    "gold": "the dataset's own facts: an upper bound, never the best condition",
    "teacher-nearest": "to each question the teacher's answer to the sub-question nearest to it, and no other",
    "gold-nearest": "to each question the dataset's fact nearest to it, and no other: an upper bound, never the best condition",
    "none": "nobody: the questions stay without answers",
}
_MEASURES = (
    (
        "accuracy, EM",
        "right answers over all questions; unparsable and failed ones are wrong",
        "Wilson 1927; Brown, Cai and DasGupta 2001 (interval)",
    ),
    ("balanced accuracy", "mean of the classes' recalls", "Zou and Donner 2008 (MOVER interval)"),
    ("F1", "harmonic mean of precision and recall over words, or facts; joint: of the products", "Yang et al. 2018, `hotpot_evaluate_v1.py`"),
    ("SARI", "how the student's questions add to, keep and delete the words of the question, as gold's do", "Xu et al. 2016, AI2's evaluator"),
    ("Brier score", "mean squared distance of P(yes) from 1 for yes and 0 for no", "Brier 1950"),
    ("calibration error", "mean distance of a bin's P(yes) from its share of yes, weighted by its questions", "Guo et al. 2017"),
    ("interval of other means", f"percentile bootstrap over questions, {RESAMPLES:,} resamples, seeded", "Efron 1979"),
    ("difference", f"b minus a on the same questions; paired bootstrap, {RESAMPLES:,} resamples", "Efron 1979"),
    ("p", "exact two-sided McNemar test: a fair coin over the questions that one alone has right", "McNemar 1947"),
    ("p (Holm)", f"corrected for all pairs of the run; a difference is shown below {ALPHA}", "Holm 1979"),
    ("needed n", "questions for 80 % power at two-sided 5 %, were the shares those seen", "Miettinen 1968; Connor 1987"),
    ("clarification gain", "accuracy with answers minus without, same adapter, same questions", "`scores.json: conditions[].asking`"),
    ("contamination", "test questions that share a run of words with what was trained on or prompted", "`scores.json: overlaps`"),
)


def method_section(facts: RunFacts) -> Section:
    """The loop, what each track, mode and resolver is, and every formula in words with its source."""
    conditions = [score.condition for score in facts.scores.conditions]
    modes = [[f"`{mode}`", said] for mode, said in _MODES.items() if any(c.mode == mode for c in conditions)]
    resolvers = [[f"`{who}`", said] for who, said in _RESOLVERS.items() if any(c.resolver == who and c.asks for c in conditions)]
    tracks = [[f"`{name}`", *_TRACKS[name]] for name in facts.data_card.get("tracks", {}) if name in _TRACKS]
    blocks: list[Block] = [Bullets(LOOP)]
    if tracks:
        blocks.append(Table("Tracks: what the adapters learn", ["track", "form", "what is learnt"], tracks, "tracks/data_card.json: tracks"))
    blocks.append(Table("Modes: what an adapter reads at test time", ["mode", "what the student reads"], modes, "predictions/*.condition.json: mode"))
    if resolvers:
        caption = "Resolvers: who answers the questions"
        blocks.append(Table(caption, ["resolver", "answers"], resolvers, "predictions/*.condition.json: resolver"))
    blocks.append(Paragraph(_tested(facts)))
    blocks.append(Table("Measures", ["measure", "how it is computed", "after"], [list(row) for row in _MEASURES], "docs/evaluator.md", folded=True))
    return Section("method", "Methodology", blocks)


def _tested(facts: RunFacts) -> str:
    goal = TARGET_POINTS[0]
    return (
        f"**Test.** {counted(facts.scores.n, 'question')} held out from training, the same for all "
        f"{counted(len(facts.scores.conditions), 'condition')}. The target is held against `{BASE}`, the untrained student's answer at once: "
        f"**reached** needs a measured gain of at least {goal} points and Holm's p below {ALPHA}; **not reached**, that the whole interval lies "
        f"below {goal} points; anything else is **not shown**."
    )
