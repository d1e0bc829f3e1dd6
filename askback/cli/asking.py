"""`askback ask`: one question through the student."""

from typing import Annotated

import typer

from askback.cli.services import with_services
from askback.contracts.errors import NotFound
from askback.contracts.records import Draft
from askback.contracts.student import Asker, AskRequest, ClarifyRequest, Resolver


def ask(
    question: Annotated[str, typer.Argument(help="A yes/no question.")],
    resolver: Annotated[Resolver, typer.Option(help="Who answers the student's questions.")] = Resolver.TEACHER,
    asker: Annotated[Asker, typer.Option(help="Whose questions are put.")] = Asker.STUDENT,
    adapter: Annotated[str, typer.Option(help="A loaded adapter, or `base`; default: the promoted one.")] = "",
    task: Annotated[str, typer.Option(help="Task whose prompts are used.")] = "strategyqa",
) -> None:
    """Show what the student drafts, what it asks, what it is answered, and its answer after that.

    Examples:

      askback ask "Is the Amazon River in Peru?"

      askback ask "Is the Amazon River in Peru?" --resolver none --adapter base
    """
    request = AskRequest(task=task, question=question, resolver=resolver, asker=asker, adapter=adapter)
    try:
        answer = with_services(lambda services: services.student.ask(request), check=False)
    except NotFound as error:
        _show_draft(with_services(lambda services: services.student.clarify(_clarify(request)), check=False).draft)
        raise NotFound(f"nobody answered: {error}; name a live teacher (see README), or use --resolver none") from error
    _show_draft(answer.draft)
    for exchange in answer.exchanges:
        if asker is Asker.TEACHER:
            typer.echo(f"put       {exchange.question}")
        typer.echo(f"answered  {exchange.answer}  ({answer.answered_by})")
    typer.echo(f"rewrite   {answer.final.answer or answer.final.text}{_sure(answer.final.p_yes)}")


def _clarify(request: AskRequest) -> ClarifyRequest:
    return ClarifyRequest(task=request.task, question=request.question, adapter=request.adapter)


def _show_draft(draft: Draft) -> None:
    typer.echo(f"draft     {draft.answer}{_sure(draft.p_yes)}")
    for asked in draft.questions:
        typer.echo(f"asks      {asked}")


def _sure(p_yes: float | None) -> str:
    return f"  (P(yes) = {p_yes:.2f})" if p_yes is not None else ""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(ask)
