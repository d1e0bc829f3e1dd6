"""The plan's two settings, priced here and as the plan priced them.

The plan names rows, tokens a row and dollars at GPT-4's price, not how the tokens divide. Its dollars tell: 2,000 rows of 150
tokens for $12 are $40 a million tokens, which lies between $30 (prompt) and $60 (completion) at a prompt share of 2/3; 4,000 rows
of 450 tokens for $70 are $38.9 a million, a share of 0.70.
"""

from askback.contracts.teacher import PriceResponse
from askback.loop.estimate.money import batch_usd, online_usd
from askback.loop.estimate.result import PlanLine

GPT4 = PriceResponse(backend="", model="gpt-4", prompt_usd_per_million=30.0, completion_usd_per_million=60.0, batch_factor=0.5)
"""As the plan was written."""

# task: (name, rows, tokens a row, share of them in the prompt)
SETTINGS = {"strategyqa": ("StrategyQA", 2000, 150, 2 / 3), "hotpotqa": ("HotpotQA", 4000, 450, 0.70)}


def plan_lines(here: PriceResponse) -> list[PlanLine]:
    """Both settings at the price `here` and at the plan's."""
    lines = []
    for name, rows, tokens, share in SETTINGS.values():
        prompt = round(rows * tokens * share)
        completion = rows * tokens - prompt
        at_gpt4, at_gpt4_batch = online_usd(GPT4, prompt, completion), batch_usd(GPT4, prompt, completion)
        assert at_gpt4 is not None and at_gpt4_batch is not None
        lines.append(
            PlanLine(
                name=name,
                rows=rows,
                tokens_a_row=tokens,
                prompt_share=share,
                here_online_usd=online_usd(here, prompt, completion),
                here_batch_usd=batch_usd(here, prompt, completion),
                gpt4_online_usd=at_gpt4,
                gpt4_batch_usd=at_gpt4_batch,
            )
        )
    return lines


def completion_tokens(task: str) -> int:
    """Tokens of a reply in the plan's setting, for a task of its own the larger ones."""
    _, _, tokens, share = SETTINGS.get(task, SETTINGS["hotpotqa"])
    return round(tokens * (1 - share))
