"""What the numbers do not say, and where they come from."""

from collections.abc import Sequence
from typing import Any

from services.evaluator.reporting.document import Block, Bullets, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.report import caveats
from services.evaluator.reporting.wording import leaves


def limits_section(facts: RunFacts) -> Section:
    """What the numbers do not say."""
    return Section("limits", "Limits", [Bullets(caveats(facts))])


def sources_section(facts: RunFacts, files: Sequence[str]) -> Section:
    """The files written with this report, the stages that made the run, and the hashes of what they wrote."""
    blocks: list[Block] = [
        Paragraph("All paths are relative to the run's folder. Every table and figure names the file and the field that it shows."),
        Bullets([f"`{file}`" for file in files]),
    ]
    if stages := [_stage(manifest) for manifest in facts.manifests if manifest["stage"] != "report"]:
        blocks.append(Table("Stages", ["stage", "seconds", "counts"], stages, "manifests/<stage>.json", folded=True))
    hashes = [[f"`{path}`", f"`{digest}`"] for path, digest in _hashes(facts.manifests)]
    if hashes:
        blocks.append(Table("SHA-256 of what the stages wrote", ["file", "SHA-256"], hashes, "manifests/<stage>.json: sha256", folded=True))
    return Section("sources", "Files and sources", blocks)


def _stage(manifest: dict[str, Any]) -> list[str]:
    rest = {key: value for key, value in manifest.items() if key not in ("stage", "seconds", "sha256")}
    counts = [f"{path.removeprefix('counts.')}: {text}" if path.startswith("counts.") else text for path, text in leaves(rest)]
    seconds = manifest.get("seconds")
    return [str(manifest["stage"]), f"{seconds:,.1f}" if isinstance(seconds, int | float) else "–", "; ".join(counts)]


def _hashes(manifests: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Of every stage but the report, whose own files are these."""
    found = [manifest["sha256"] for manifest in manifests if manifest["stage"] != "report" and isinstance(manifest.get("sha256"), dict)]
    return [(path, str(digest)) for hashes in found for path, digest in hashes.items()]
