"""The plan of the fit, over cards whose memory and speed are known."""

import pytest

from services.trainer.learning.fit.ladder import Ladder, Saving
from services.trainer.learning.fit.memory_model import measured
from services.trainer.learning.fit.planner import GIB, planned

LADDER = Ladder(layers=10, has_mlp=True)
KEPT = {Saving.NONE: 0.10, Saving.MLP: 0.04, Saving.LAYER: 0.01}
"""GiB that a layer keeps of a row."""
TWICE = {Saving.NONE: 0.0, Saving.MLP: 0.6, Saving.LAYER: 1.0}
"""Share of a layer's forward pass that is computed again."""


class Card:
    """A card with `gib` of memory whose passes take the model's 2 GiB, what the layers keep, and `hidden` GiB that no model predicts."""

    def __init__(self, gib, launch_s=0.1, hidden=0.0, ladder=LADDER):
        self.ladder, self.budget = ladder, gib * GIB
        self.launch_s, self.hidden = launch_s, hidden
        self.passes = []

    def needed(self, rows, rung):
        return self.peak(rows, rung)

    def peak(self, rows, rung):
        self.passes.append((rows, rung))
        gib = 2 + rows * sum(KEPT[saving] for saving in self.ladder.on(rung)) + (self.hidden if rows > 3 else 0)
        return None if gib * GIB > self.budget * 1.2 else gib * GIB

    def seconds(self, rows, rung):
        again = sum(TWICE[saving] for saving in self.ladder.on(rung)) / self.ladder.layers
        return max(self.launch_s, rows * 0.01) * (2 + again) / 2


def plan(card, rows=32, rungs=None):
    return planned(rows, card, rungs or (0, card.ladder.top))


def test_the_ladder_saves_more_with_every_rung():
    kept = [sum(KEPT[saving] for saving in LADDER.on(rung)) for rung in range(LADDER.top + 1)]
    assert kept == sorted(kept, reverse=True) and len(set(kept)) == len(kept) == 21
    assert LADDER.counts(0) == {"none": 10, "mlp": 0, "layer": 0}
    assert LADDER.counts(13) == {"none": 0, "mlp": 7, "layer": 3}
    assert Ladder(4, has_mlp=False).counts(1) == {"none": 3, "mlp": 0, "layer": 1}
    assert Ladder(4, has_mlp=False).landings == (0, 4)


def test_where_all_fits_the_whole_step_is_one_pass_and_nothing_is_computed_twice():
    card = Card(gib=40)
    found = plan(card)
    assert (found.micro_batch, found.gradient_accumulation) == (32, 1)
    assert found.layers == {"none": 10, "mlp": 0, "layer": 0}
    assert len(card.passes) <= 4, "the rest of the ladder was measured for nothing"


@pytest.mark.parametrize("gib", [4, 6, 8, 12, 20, 33])
def test_a_plan_fits_and_steps_keep_their_rows(gib):
    found = plan(Card(gib))
    assert found.peak_gib <= found.budget_gib == gib
    assert found.micro_batch * found.gradient_accumulation == 32
    assert sum(found.layers.values()) == 10


def test_a_card_that_waits_for_launches_gets_large_passes_that_save_more():
    assert plan(Card(gib=8, launch_s=0.4)).micro_batch == 32


def test_a_card_that_computes_all_the_time_gets_small_passes_that_save_nothing():
    found = plan(Card(gib=8, launch_s=0.0))
    assert found.layers["none"] == 10
    assert found.micro_batch == 4


def test_no_plan_is_slower_than_one_that_was_tried():
    for gib in (5, 8, 15, 25):
        card = Card(gib, launch_s=0.07)
        found = plan(card)
        for rows, rung in set(card.passes):
            peak = card.peak(rows, rung)
            if rows > 3 and peak is not None and peak <= card.budget:
                assert rows / card.seconds(rows, rung) <= found.rows_per_s * 1.001 + 0.01, (gib, rows, rung, found)


def test_memory_that_was_not_predicted_is_met_by_saving_more():
    spare, hidden = plan(Card(gib=8, launch_s=0.4)), plan(Card(gib=8, launch_s=0.4, hidden=1.0))
    assert hidden.peak_gib <= 8
    assert hidden.layers["layer"] > spare.layers["layer"]


def test_a_pass_that_needs_less_than_predicted_saves_less():
    plain, lighter = plan(Card(gib=8, launch_s=0.4)), plan(Card(gib=8, launch_s=0.4, hidden=-1.0))
    assert lighter.layers["layer"] < plain.layers["layer"]


def test_forced_savings_are_kept():
    assert plan(Card(gib=40), rungs=(20, 20)).layers["layer"] == 10
    assert plan(Card(gib=6), rungs=(0, 0)).layers["none"] == 10


def test_a_card_too_small_for_one_row_is_an_error_of_memory():
    with pytest.raises(MemoryError, match=r"one row does not fit the 1\.0 GiB that the card has to give"):
        plan(Card(gib=1))


def test_a_landing_that_ran_out_of_memory_is_not_planned_on():
    card = Card(gib=2.5)  # three rows fit only where every layer saves
    found = plan(card)
    assert found.layers["layer"] > 0
    assert measured(LADDER, card.needed, (0,)).peak(1, 0) == float("inf")


def test_the_reason_names_the_choice_and_what_was_slower():
    reason = plan(Card(gib=8)).reason
    assert "rows a pass" in reason and "of 8.00 GiB" in reason and "slower: " in reason
