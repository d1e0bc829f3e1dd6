from pathlib import Path

import pytest

from askback.contracts.errors import Conflict, InvalidInput, NotFound
from services.evaluator.storage.atomic_file import write_atomically
from services.evaluator.storage.run_folder import RunFolder, open_run


def test_a_run_outside_the_runs_folder_is_refused(runs_dir: Path, tmp_path: Path) -> None:
    runs_dir.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (runs_dir / "link").symlink_to(tmp_path / "elsewhere")
    for run_id in ("../elsewhere", "link", "."):
        with pytest.raises(InvalidInput, match="leads out of the runs folder"):
            open_run(runs_dir, run_id)
    with pytest.raises(NotFound, match="'absent'"):
        open_run(runs_dir, "absent")


def test_optional_parts_are_empty_when_absent(small_run: Path) -> None:
    run = RunFolder(small_run)
    assert (run.harvest(), run.data_card(), run.trainings(), run.manifests(), run.config()) == ([], {}, {}, [], {})


def test_what_the_student_was_asked_for_sampling_is_no_split(full_run: Path) -> None:
    (full_run / "samples" / "uncertainty.jsonl").write_text('{"sample_id": "t1", "p_yes": 0.5, "uncertainty": 1.0}\n')
    assert len(RunFolder(full_run).all_samples()) == 36 + 20


def test_an_unfinished_adapter_is_not_read(full_run: Path) -> None:
    (full_run / "adapters" / "direct-s0").rename(full_run / "adapters" / ".direct-s0.job1")
    assert list(RunFolder(full_run).trainings()) == ["dialogue-s0"]


def test_a_bad_line_is_named(small_run: Path) -> None:
    file = small_run / "predictions" / "base.direct.jsonl"
    lines = file.read_text().splitlines()
    lines[4] = '{"sample_id": "q4", "answer": "yes", "mood": "sure"}'
    file.write_text("\n".join(lines))
    run = RunFolder(small_run)
    with pytest.raises(InvalidInput, match=r"demo-1/predictions/base\.direct\.jsonl:5: mood: Extra inputs"):
        run.predictions(run.conditions()[1])


def test_samples_must_be_there_and_unique(small_run: Path) -> None:
    file = small_run / "samples" / "dev.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[0])
    with pytest.raises(InvalidInput, match="id 'q0' stands twice"):
        RunFolder(small_run).samples()
    file.unlink()
    with pytest.raises(InvalidInput, match=r"samples/dev\.jsonl: no such file"):
        RunFolder(small_run).samples()


def test_predictions_and_conditions_come_in_pairs(small_run: Path) -> None:
    folder = small_run / "predictions"
    (folder / "base.direct.jsonl").rename(folder / "base.cot.jsonl")
    with pytest.raises(InvalidInput, match=r"predictions/base\.cot\.condition\.json: no such file"):
        RunFolder(small_run).conditions()
    (folder / "base.direct.condition.json").rename(folder / "base.cot.condition.json")
    with pytest.raises(InvalidInput, match=r"holds condition 'base\.direct'"):
        RunFolder(small_run).conditions()


def test_scores_of_other_predictions_are_a_conflict(small_run: Path) -> None:
    with pytest.raises(Conflict, match=r"scores\.json is missing"):
        RunFolder(small_run).scores()
    (small_run / "scores.json").write_text('{"task": "strategyqa", "n": 1, "majority": 1.0, "conditions": [], "comparisons": []}')
    with pytest.raises(Conflict, match="made from other predictions"):
        RunFolder(small_run).scores()


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "a.txt", b"old")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "deep" / "a.txt", "text, not bytes")  # type: ignore[arg-type]
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "deep").iterdir()] == [("a.txt", b"old")]
