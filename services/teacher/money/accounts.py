"""Dollars in memory: who may take how many now, who waits, and who is refused.

All is synchronous but for the wait in `take`, so between the look at an account and the taking nobody else runs.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from askback.contracts.errors import BudgetExceeded
from askback.contracts.teacher import BudgetState
from services.teacher.money.ledger import PICO, Kind

TOTAL = "total"
RUN = "run:"


@dataclass(eq=False, slots=True)
class Claim:
    """Picodollars that a caller asks for, and then holds."""

    run: str
    kind: Kind
    amount: int
    granted: asyncio.Future[None] | None = None
    """Set while the claim waits."""


class _Account:
    """One limit, what stands against it, and the claims that wait for it."""

    def __init__(self, name: str, limit: int | None) -> None:
        self.name, self.limit = name, limit
        self.spent = 0
        self.reserved: dict[Kind, int] = {"online": 0, "batch": 0}
        self.queues: dict[Kind, deque[Claim]] = {"online": deque(), "batch": deque()}

    def refuse_hopeless(self, claim: Claim) -> None:
        """Raise BudgetExceeded when no wait can help. A batch may take a day, and no online call waits for that."""
        firm = self.spent + (self.reserved["batch"] if claim.kind == "online" else 0)
        if self.limit is not None and firm + claim.amount > self.limit:
            path = "total" if self.name == TOTAL else "runs/" + self.name.removeprefix(RUN)
            field = "total_usd" if self.name == TOTAL else "run_usd"
            raise BudgetExceeded(
                f"budget {self.name!r}: {_text(self.spent)} dollars are spent and {_text(sum(self.reserved.values()))} reserved of"
                f" {_text(self.limit)}, and this call could cost up to {_text(claim.amount)}; raise the limit with PUT /v1/budgets/{path}"
                f' {{"limit_usd": ...}}, or, where none was set that way, with {field} under [budget] in the backends file'
            )

    def holds_back(self, claim: Claim) -> bool:
        """Whether `claim` must wait here: for dollars, or for those who came first. Online claims go before those of batches."""
        first = [self.queues["online"]] if claim.kind == "online" else list(self.queues.values())
        if any(queue and queue[0] is not claim for queue in first):
            return True
        return self.limit is not None and self.spent + sum(self.reserved.values()) + claim.amount > self.limit

    def state(self) -> BudgetState:
        limit = None if self.limit is None else self.limit / PICO
        return BudgetState(name=self.name, limit_usd=limit, spent_usd=self.spent / PICO, reserved_usd=sum(self.reserved.values()) / PICO)


class Accounts:
    """The account of all calls, and one for each run; a claim stands in both. For use on one event loop."""

    def __init__(self, total_limit: int | None, run_limit: int | None) -> None:
        """Limits in picodollars; `run_limit` is that of each run without its own."""
        self._total = _Account(TOTAL, total_limit)
        self._run_limit = run_limit
        self._runs: dict[str, _Account] = {}

    async def take(self, claim: Claim) -> None:
        """Return when `claim` holds its amount.

        Waits in turn while others hold what it needs, since most calls cost less than they reserve. Raises BudgetExceeded
        when no wait can help, now or later. A cancelled caller holds nothing.
        """
        obstacle = self._obstacle(claim)
        if obstacle is None:
            return self.hold(claim)
        claim.granted = asyncio.get_running_loop().create_future()
        obstacle.queues[claim.kind].append(claim)
        try:
            return await claim.granted
        except asyncio.CancelledError:
            if not claim.granted.cancelled() and claim.granted.exception() is None:
                self.settle(claim, 0)  # granted and cancelled in the same moment
            else:
                self._advance(claim.run)
            raise

    def hold(self, claim: Claim) -> None:
        """Reserve `claim` whatever the limits say."""
        for account in self._of(claim.run):
            account.reserved[claim.kind] += claim.amount

    def settle(self, claim: Claim, cost: int) -> None:
        """Give back what `claim` holds, spend `cost`, and let those who wait go on."""
        for account in self._of(claim.run):
            account.reserved[claim.kind] -= claim.amount
        self.spend(claim.run, cost)

    def spend(self, run: str, cost: int) -> None:
        """Count `cost` as spent, whatever the limits say."""
        for account in self._of(run):
            account.spent += cost
        self._advance(run)

    def set_limit(self, run: str | None, limit: int | None) -> None:
        """Give `run`, or for None all runs together, a new limit in picodollars; None for no limit."""
        account = self._total if run is None else self._of(run)[1]
        account.limit = limit
        self._move(account)

    @property
    def total(self) -> BudgetState:
        """What stands against the limit on all calls."""
        return self._total.state()

    def states(self) -> list[BudgetState]:
        """The total, then each named run."""
        return [self._total.state(), *(self._runs[run].state() for run in sorted(self._runs) if run)]

    def _of(self, run: str) -> tuple[_Account, _Account]:
        account = self._runs.get(run)
        if account is None:
            account = self._runs[run] = _Account(RUN + run, self._run_limit if run else None)  # what names no run is in none
        return self._total, account

    def _obstacle(self, claim: Claim) -> _Account | None:
        """The account that `claim` must wait for, None when it may be granted; raises BudgetExceeded when no wait can help."""
        accounts = self._of(claim.run)
        for account in accounts:
            account.refuse_hopeless(claim)
        return next((account for account in accounts if account.holds_back(claim)), None)

    def _advance(self, run: str) -> None:
        for account in self._of(run):
            self._move(account)

    def _move(self, account: _Account) -> None:
        """Grant, refuse or send on those who wait at `account`, up to the first who must still wait here."""
        for queue in account.queues.values():
            while queue:
                claim = queue[0]
                assert claim.granted is not None
                if claim.granted.done():  # its caller was cancelled
                    queue.popleft()
                    continue
                try:
                    obstacle = self._obstacle(claim)
                except BudgetExceeded as error:
                    queue.popleft()
                    claim.granted.set_exception(error)
                    continue
                if obstacle is account:
                    break
                queue.popleft()
                if obstacle is not None:
                    obstacle.queues[claim.kind].append(claim)
                else:
                    self.hold(claim)
                    claim.granted.set_result(None)


def _text(amount: int) -> str:
    return format(Decimal(amount).scaleb(-12).normalize(), "f")
