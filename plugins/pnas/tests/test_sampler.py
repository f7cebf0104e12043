"""Progressive search on synthetic tables: no network is trained."""

import logging
import random
import statistics

import pytest

from nascore.contracts import View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore_pnas.beam import extended
from nascore_pnas.sampler import Progressive
from nascore_pnas.space import SIZE, PNASSpace
from nascore_pnas.surrogate import spearman

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)
OPS = ("skip_connect", "sep_conv_3x3", "max_pool_3x3", "conv_3x3")


class Table:
    """An accuracy that adds up over (block, input, op), like that of METHODS, section 9, P5."""

    def __init__(self, seed):
        rng = random.Random(derive_seed(seed, "table"))
        self.worth = [rng.gauss(0, 1) for _ in OPS]
        self.place = [rng.gauss(0, 0.3) for _ in range(5)]
        self.space = PNASSpace(blocks=3, ops=OPS, channels=2)

    def value(self, architecture):
        blocks = self.space.blocks_of(architecture)
        total = sum(self.worth[o] + self.worth[p] + self.place[i] + self.place[j] for i, j, o, p in blocks)
        return 0.5 + 0.05 * total


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """The command line, in another test, may have kept the logger's records to itself."""
    monkeypatch.setattr(logging.getLogger("nascore"), "propagate", True)


def started(objective=ACCURACY, space=None, seed=0, **options):
    sampler = Progressive(**{"beam": 8, "hidden": 16, "embedding": 8, "epochs": 20} | options)
    sampler.setup(space or PNASSpace(blocks=3, ops=OPS, channels=2), [objective], seed)
    return sampler


def run(sampler, value, seed=0, trials=10**6, excess=lambda _: 0.0, status=lambda _: Status.COMPLETE):
    """All trials until nothing is left to propose."""
    history = TrialHistory(sampler.objectives)
    for number in range(trials):
        candidate = sampler.ask(View(number, random.Random(derive_seed(seed, number)), history, None, excess))
        if candidate is None:
            break
        values = {sampler.objectives[0].name: value(candidate.architecture)}
        trial = Trial(number, candidate, status(number), values)
        history.add(trial)
        sampler.tell(trial)
    return history


def sizes(history):
    return [trial.architecture.genome[SIZE] for trial in history]


# ------------------------------------------------------------------------------------ the beam


def test_it_goes_size_by_size_and_trains_as_many_as_the_paper():
    """METHODS, section 9, P4."""
    history = run(started(), Table(0).value)
    assert sizes(history) == [1] * 36 + [2] * 8 + [3] * 8


def test_the_beam_has_no_duplicates_and_extends_the_one_before():
    """METHODS, section 9, P3."""
    sampler = started()
    history = run(sampler, Table(1).value)
    assert len({trial.architecture.key for trial in history}) == len(history)
    for trial in list(history)[36:]:
        parent = history[trial.candidate.parent].architecture
        blocks, before = sampler.cells.blocks_of(trial.architecture), sampler.cells.blocks_of(parent)
        assert blocks[:-1] == before
        assert trial.candidate.origin.startswith(f"extends {trial.candidate.parent}, predicted")


def test_children_of_isomorphic_cells_are_proposed_once():
    """With one op and few inputs almost all extensions are isomorphic to another one."""
    space = PNASSpace(blocks=2, ops=("skip_connect",))
    history = run(started(space=space, beam=100), lambda _: 0.5)
    assert len({trial.architecture.key for trial in history}) == len(history)
    raw = len(space.options(0)) * len(space.options(1))
    assert len(history) - len(space.options(0)) < raw


def test_every_extension_is_considered():
    space = PNASSpace(blocks=2, ops=OPS)
    parents = [(block,) for block in space.options(0)]
    cells = extended(parents, space.options(1))
    assert cells.shape == (36 * 78, 2, 4)
    assert {tuple(map(tuple, cell)) for cell in cells.tolist()} == {(*p, o) for p in parents for o in space.options(1)}


def test_it_waits_for_the_beam_before_it_grows():
    sampler, history = started(), TrialHistory([ACCURACY])
    asked = [sampler.ask(View(n, random.Random(n), history)) for n in range(36)]
    assert sampler.ask(View(36, random.Random(36), history)) is None
    for number, candidate in reversed(list(enumerate(asked))):
        sampler.tell(Trial(number, candidate, Status.COMPLETE, {"accuracy": 0.5 + number / 100}))
        grown = sampler.ask(View(36, random.Random(36), history))
        assert (grown is None) == (number > 0)
    assert grown.architecture.genome[SIZE] == 2


def test_it_ends_after_the_cells_of_one_block_where_there_are_no_larger_ones():
    assert sizes(run(started(space=PNASSpace(blocks=1, ops=OPS)), lambda _: 0.5)) == [1] * 36


def test_it_answers_the_best_or_the_best_of_the_largest():
    def shrinking(architecture):
        return 1 / architecture.genome[SIZE]

    for largest_only, size in ((False, 1), (True, 3)):
        sampler = started(largest_only=largest_only)
        history = run(sampler, shrinking)
        assert sampler.recommend(history).architecture.genome[SIZE] == size
    sampler = started(largest_only=True)
    assert sampler.recommend(run(sampler, shrinking, trials=10)).architecture.genome[SIZE] == 1


def test_less_is_better_when_minimising():
    table = Table(2)
    loss = Objective("loss", Direction.MINIMIZE)
    up = run(started(), table.value)
    down = run(started(loss), lambda a: -table.value(a))
    assert [t.architecture.key for t in up] == [t.architecture.key for t in down]


def test_cells_that_break_a_constraint_are_passed_over():
    def excess(architecture):
        return float("sep_conv_3x3" in architecture.genome.values())

    history = run(started(), Table(0).value, excess=excess)
    assert sizes(history) == [1] * 36 + [2] * 8 + [3] * 8
    assert not any(excess(trial.architecture) for trial in list(history)[44:])
    everything = run(started(), Table(0).value, excess=lambda a: float(len(a.genome)))
    assert sizes(everything)[36:] == [2] * 8 + [3] * 8, "where all break it, the nearest are proposed"


def test_failures_do_not_stop_it_and_are_notextended():
    def status(number):
        return (Status.FAIL, Status.INFEASIBLE, Status.COMPLETE)[number % 3]

    history = run(started(), Table(0).value, status=status)
    assert sizes(history) == [1] * 36 + [2] * 8 + [3] * 8
    assert {trial.candidate.parent % 3 for trial in list(history)[36:]} == {2}
    nothing = run(started(), Table(0).value, status=lambda _: Status.FAIL)
    assert sizes(nothing) == sizes(history)


def test_a_lost_proposal_is_made_again():
    """What was under way at a checkpoint, and never told, would leave the beam unfinished for ever."""
    sampler, history = started(), TrialHistory([ACCURACY])
    candidates = [sampler.ask(View(n, random.Random(n), history)) for n in range(5)]
    trial = Trial(0, candidates[0], Status.COMPLETE, {"accuracy": 0.5})
    history.add(trial)
    sampler.tell(trial)
    other = started()
    other.load_state_dict(sampler.state_dict(), history)
    again = [other.ask(View(n, random.Random(n), history)).architecture.key for n in range(5, 9)]
    assert again == [candidate.architecture.key for candidate in candidates[1:]]
    assert len(other.waiting) == 36 - 5


# ------------------------------------------------------------------------------------ the surrogate


def test_the_rank_correlation_is_reported_at_every_size(caplog):
    caplog.set_level(logging.INFO, logger="nascore.pnas")
    sampler = started(beam=20)
    run(sampler, Table(0).value)
    assert [entry["blocks"] for entry in sampler.report] == [1, 2, 3]
    assert "spearman" not in sampler.report[0]
    assert [entry["candidates"] for entry in sampler.report[1:]] == [36 * 78, 20 * 136]
    for entry in sampler.report[1:]:
        of_size = [one for one in sampler.measured if len(one.proposal.blocks) == entry["blocks"]]
        predicted = [one.proposal.predicted for one in of_size]
        assert entry["spearman"] == pytest.approx(spearman(predicted, [one.value for one in of_size]))
    assert sum("spearman" in record.message for record in caplog.records) == 2


def test_a_budget_that_is_too_small_is_told(caplog):
    sampler = started()
    sampler.ask(View(0, random.Random(0), TrialHistory([ACCURACY]), 51))
    assert "takes 52 trials" in caplog.text
    caplog.clear()
    started().ask(View(0, random.Random(0), TrialHistory([ACCURACY]), 52))
    assert not caplog.text


# ------------------------------------------------------------------------------------ and does it help?


@pytest.mark.parametrize("seed", range(2))
def test_the_surrogate_ranks_and_the_answer_is_among_the_best(seed):
    """METHODS, section 9, P5: Spearman on unseen cells of the next size > 0.5, answer above 95% of random ones."""
    table = Table(seed)
    sampler = started(seed=seed, largest_only=True, epochs=60, hidden=32, embedding=16)
    history = run(sampler, table.value, seed)
    cells = extended([one.proposal.blocks for one in sampler._of_size(2)], table.space.options(2))
    sampler.size = 2
    predicted, known = sampler._predicted(cells)
    assert known
    chosen = range(0, len(cells), 7)
    truth = [table.value(table.space.of_blocks(cells[i].tolist())) for i in chosen]
    assert spearman([float(predicted[i]) for i in chosen], truth) > 0.5
    rng = random.Random(seed)
    answer = table.value(sampler.recommend(history).architecture)
    randoms = [tuple(rng.choice(table.space.options(b)) for b in range(3)) for _ in range(1000)]
    assert sum(answer > table.value(table.space.of_blocks(cell)) for cell in randoms) >= 950


def test_it_beats_random_search_at_equal_budget():
    """Ten seeds, 52 trials each; random search draws cells of the full size, where the best are, or any."""
    gains, sized = [], []
    for seed in range(10):
        table, rng = Table(seed), random.Random(derive_seed(seed, "random"))
        found = run(started(seed=seed), table.value, seed).best.objectives["accuracy"]
        space = table.space
        draws = [space.sample(lambda _, options, rng=rng: rng.choice(options)) for _ in range(52)]
        large = [space.of_blocks([rng.choice(space.options(b)) for b in range(3)]) for _ in range(52)]
        gains.append(found - max(map(table.value, draws)))
        sized.append(found - max(map(table.value, large)))
    for gain in (gains, sized):
        assert statistics.fmean(gain) > 2.26 * statistics.stdev(gain) / 10**0.5  # t, 95%, two-sided, 9 degrees


# ------------------------------------------------------------------------------------ options


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        Progressive().setup(PNASSpace(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beam": 0}, "beam"),
        ({"hidden": 0}, "hidden"),
        ({"embedding": 0}, "embedding"),
        ({"epochs": 0}, "epochs"),
        ({"surrogate": "lstn"}, "did you mean 'lstm'"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        Progressive(**options)
