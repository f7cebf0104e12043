"""Each check of the kit fails on a part that breaks just what it checks."""

import random
from typing import ClassVar

import pytest

import nascore
from nascore.contracts import CostModel, Evaluator, Sampler
from nascore.records import Candidate, Cost, Direction, Measurement, Metric, Status
from nascore.testing import (
    CostModelConformance,
    EvaluatorConformance,
    SamplerConformance,
    SearchSpaceConformance,
    ToySpace,
)

ACCURACY = {"accuracy": Metric("", Direction.MAXIMIZE)}

# ------------------------------------------------------------------------------------- samplers


class Good(Sampler):
    """Mutates the last complete trial; its one number of state counts the tells."""

    requires = frozenset({"mutate"})

    def setup(self, space, objectives, seed):
        super().setup(space, objectives, seed)
        self.last, self.count = None, 0

    def ask(self, view):
        if self.last is None or self.count % 4 == 0:
            return self.propose(view.rng)
        return Candidate(self.space.mutate(self.last.architecture, view.rng))

    def propose(self, rng):
        return Candidate(self.space.sample(lambda _, options: rng.choice(options)))

    def tell(self, trial):
        self.count += 1
        if trial.status is Status.COMPLETE:
            self.last = trial

    def state_dict(self):
        return {"count": self.count, "last": None if self.last is None else self.last.number}

    def load_state_dict(self, state, history):
        self.count = state["count"]
        self.last = None if state["last"] is None else history[state["last"]]


class Demanding(Good):
    requires = frozenset({"supernet"})


class GlobalRandom(Good):
    def propose(self, rng):
        return super().propose(random)


class Seedless(Good):
    def ask(self, view):
        return self.propose(random.Random(view.number))


class Outside(Good):
    def propose(self, rng):
        return Candidate(self.space.architecture({"width": 5, "depth": 1}))


class WrongKey(Good):
    def propose(self, rng):
        architecture = super().propose(rng).architecture
        return Candidate(nascore.Architecture(architecture.space, architecture.genome, "0"))


class Fragile(Good):
    def tell(self, trial):
        super().tell(trial)
        trial.objectives["accuracy"]


class Single(Good):
    def tell(self, trial):
        assert len(self.objectives) == 1, "one objective only"
        super().tell(trial)


class Forgetful(Good):
    def state_dict(self):
        return {**super().state_dict(), "count": 0}


class ByReference(Good):
    def state_dict(self):
        return {**super().state_dict(), "trial": self.last}


class OneAtATime(Good):
    def ask(self, view):
        assert view.number == self.count, "not told yet"
        return super().ask(view)


class Meddling(Good):
    def tell(self, trial):
        super().tell(trial)
        trial.architecture.genome["width"] = 4


class Seeding(Good):
    def tell(self, trial):
        super().tell(trial)
        random.seed(trial.number)


class Mute(Good):
    def on_report(self, number, step, metrics):
        return None


class AnyTrial(Good):
    def recommend(self, history):
        return history[1]


def sampler_kit(sampler, the_space=ToySpace):
    class Kit(SamplerConformance):
        def make(self):
            return sampler()

        def space(self):
            return the_space()

    return Kit()


SAMPLERS = [
    (Demanding, "test_it_fits_the_space", "supernet"),
    (GlobalRandom, "test_same_seed_same_proposals", "differ from trial"),
    (Seedless, "test_other_seed_other_proposals", "seeds 0 and 1"),
    (Outside, "test_proposals_are_in_the_space", "'width'"),
    (WrongKey, "test_proposals_are_in_the_space", "name or key"),
    (Fragile, "test_failed_pruned_and_infeasible_trials_are_tolerated", "accuracy"),
    (Single, "test_several_objectives_work_or_are_refused", "one objective only"),
    (Forgetful, "test_a_restored_sampler_goes_on_exactly", "differ from trial"),
    (ByReference, "test_a_restored_sampler_goes_on_exactly", "plain data"),
    (OneAtATime, "test_parallel_trials_are_tolerated", "not told yet"),
    (Meddling, "test_inputs_are_not_changed", "is not what it was"),
    (Seeding, "test_global_random_state_is_untouched", "random"),
    (Mute, "test_reports_are_answered", "None"),
    (AnyTrial, "test_it_recommends_a_complete_trial", "fail"),
]

# --------------------------------------------------------------------------------------- spaces


class NoDecisions(ToySpace):
    def sample(self, choose):
        return super().sample(lambda _, options: random.choice(options))


class Unstable(ToySpace):
    def decide(self, choose):
        width = choose("width", [4, 8])
        return width, [("conv", choose("kernel", [1, 3] if width == 4 else [1, 5]))]


class Tuples(ToySpace):
    def sample(self, choose):
        choose("layer", [("conv", 1), ("conv", 3)])
        return super().sample(choose)


class Twice(ToySpace):
    def sample(self, choose):
        choose("layer", ["conv", "pool", "conv"])
        return super().sample(choose)


class Gullible(ToySpace):
    def check(self, architecture):
        if not isinstance(architecture.genome, dict):
            super().check(architecture)


class Crashing(ToySpace):
    def check(self, architecture):
        self.decisions(nascore.Architecture(self.name, dict(architecture.genome), ""))


class Strict(ToySpace):
    def check(self, architecture):
        super().check(architecture)
        if architecture.genome["width"] == 8:
            raise nascore.errors.SpaceError("no eights")


class Counting(ToySpace):
    count = 0

    def canonical(self, genome):
        Counting.count += 1
        return [genome, Counting.count]


class Writing(ToySpace):
    def build(self, architecture, task):
        architecture.genome["note"] = 1
        return super().build(architecture, task)


class Cloning(ToySpace):
    def mutate(self, architecture, rng):
        return architecture


class Moody(ToySpace):
    def mutate(self, architecture, rng):
        random.random()
        return super().mutate(architecture, random.Random(0))


class Headless(ToySpace):
    def build(self, architecture, task):
        return super().build(architecture, task)[:-1]


class Lossy(ToySpace):
    builds = 0

    def build(self, architecture, task):
        import torch

        Lossy.builds += 1
        torch.manual_seed(Lossy.builds)
        return super().build(architecture, task)


def space_kit(space):
    class Kit(SearchSpaceConformance):
        def make(self):
            return space()

    return Kit()


SPACES = [
    (NoDecisions, "test_the_same_choices_make_the_same_architecture", "different architectures"),
    (Unstable, "test_names_are_stable", "give each its own name"),
    (Tuples, "test_names_are_stable", "allowed: None, bool"),
    (Twice, "test_names_are_stable", "twice"),
    (Gullible, "test_it_refuses_what_is_not_its_own", "cannot make"),
    (Crashing, "test_it_refuses_what_is_not_its_own", "must raise SpaceError"),
    (Strict, "test_it_accepts_its_own_architectures_and_keeps_them_through_json", "no eights"),
    (Counting, "test_keys_are_stable", "canonical genome"),
    (Writing, "test_inputs_are_not_changed", "changed the architecture"),
    (Cloning, "test_children_are_in_the_space", "changed nothing"),
    (Moody, "test_global_random_state_is_untouched", "random"),
    (Headless, "test_networks_work", "not"),
    (Lossy, "test_networks_work", "global generator alone"),
]

# ----------------------------------------------------------------------------------- evaluators


class Scores(Evaluator):
    """Gives the seed's random number; can be stopped; counts what it judged."""

    objectives = ACCURACY
    provides = frozenset({"curve"})

    def __init__(self):
        self.judged = 0

    def evaluate(self, candidate, context):
        self.judged += 1
        value = self.value(candidate, context)
        for step in (1, 2):
            if not context.report(step, accuracy=value):
                return Measurement(Status.PRUNED)
        return Measurement.complete(accuracy=value)

    def value(self, candidate, context):
        return random.Random(context.seed).random()

    def state_dict(self):
        return {"judged": self.judged}

    def load_state_dict(self, state):
        self.judged = state["judged"]


class Undeclared(Scores):
    objectives: ClassVar = {}


class Surplus(Scores):
    objectives: ClassVar = {**ACCURACY, "loss": Metric("nats", Direction.MINIMIZE)}


class NotANumber(Scores):
    def value(self, candidate, context):
        return float("nan")


class LostFile(Scores):
    def evaluate(self, candidate, context):
        return Measurement(Status.COMPLETE, {"accuracy": 1.0}, artifacts={"weights": "weights.safetensors"})


class Drifting(Scores):
    def value(self, candidate, context):
        return float(self.judged)


class FalselyDeterministic(Scores):
    deterministic = True


class Unstoppable(Scores):
    def evaluate(self, candidate, context):
        super().evaluate(candidate, context)
        return Measurement.complete(accuracy=1.0)


class Deaf(Scores):
    def evaluate(self, candidate, context):
        context.report(1, accuracy=0.1)
        return super().evaluate(candidate, context)


class Silent(Scores):
    def evaluate(self, candidate, context):
        return Measurement(Status.PRUNED)


class OtherReports(Scores):
    def evaluate(self, candidate, context):
        context.report(1, train_loss=0.1)
        return Measurement(Status.PRUNED)


class Editing(Scores):
    def value(self, candidate, context):
        candidate.architecture.genome.clear()
        return 0.5


class Amnesic(Drifting):
    def load_state_dict(self, state):
        pass


def evaluator_kit(evaluator):
    class Kit(EvaluatorConformance):
        def make(self):
            return evaluator()

    return Kit()


EVALUATORS = [
    (Undeclared, "test_it_declares_objectives", "empty"),
    (Surplus, "test_declared_objectives_are_delivered", "loss"),
    (NotANumber, "test_declared_objectives_are_delivered", "nan"),
    (LostFile, "test_declared_objectives_are_delivered", "weights.safetensors"),
    (Drifting, "test_same_seed_same_measurement", "same candidate"),
    (FalselyDeterministic, "test_a_deterministic_one_ignores_the_seed", "two seeds"),
    (Unstoppable, "test_it_stops_when_told", "complete"),
    (Deaf, "test_it_stops_when_told", "2 came"),
    (Silent, "test_it_stops_when_told", "reported nothing"),
    (OtherReports, "test_it_stops_when_told", "accuracy"),
    (Editing, "test_inputs_are_not_changed", "changed the candidate"),
    (Amnesic, "test_a_restored_evaluator_goes_on_exactly", "after a checkpoint"),
]

# ---------------------------------------------------------------------------------- cost models


class Width(CostModel):
    metrics: ClassVar = {"energy_mj": Metric("mJ", Direction.MINIMIZE)}

    def estimate(self, space, architecture, context):
        return {"energy_mj": self.cost(architecture)}

    def cost(self, architecture):
        return Cost(float(architecture.genome["width"]), "mJ")


class Free(Width):
    metrics: ClassVar = {}


class WrongUnit(Width):
    def cost(self, architecture):
        return Cost(1.0, "J")


class Extra(Width):
    def estimate(self, space, architecture, context):
        return {**super().estimate(space, architecture, context), "heat": Cost(1.0, "K")}


class Bare(Width):
    def cost(self, architecture):
        return 4.0


class Negative(Width):
    def cost(self, architecture):
        return Cost(-1.0, "mJ")


class Certain(Width):
    def cost(self, architecture):
        return Cost(1.0, "mJ", std=0.5)


class Guessing(Width):
    def cost(self, architecture):
        return Cost(random.random(), "mJ")


class Trimming(Width):
    def cost(self, architecture):
        return Cost(float(architecture.genome.pop("width")), "mJ")


def cost_kit(model):
    class Kit(CostModelConformance):
        def make(self):
            return model()

    return Kit()


COSTS = [
    (Free, "test_declared_metrics_are_delivered_in_their_units", "empty"),
    (WrongUnit, "test_declared_metrics_are_delivered_in_their_units", "declared is 'mJ'"),
    (Extra, "test_declared_metrics_are_delivered_in_their_units", "heat"),
    (Bare, "test_declared_metrics_are_delivered_in_their_units", "must be a Cost"),
    (Negative, "test_costs_are_sound", "-1.0"),
    (Certain, "test_costs_are_sound", "spread"),
    (Guessing, "test_exact_costs_are_the_same_twice", "given as exact"),
    (Guessing, "test_global_random_state_is_untouched", "random"),
    (Trimming, "test_costs_are_sound", "changed the architecture"),
]

# ------------------------------------------------------------------------------------ the proof

BROKEN = [
    (kit(part), check, message)
    for kit, cases in [
        (sampler_kit, SAMPLERS),
        (space_kit, SPACES),
        (evaluator_kit, EVALUATORS),
        (cost_kit, COSTS),
    ]
    for part, check, message in cases
]
GOOD = [sampler_kit(Good), space_kit(ToySpace), evaluator_kit(Scores), cost_kit(Width)]


def checks_of(kit):
    return [name for name in dir(kit) if name.startswith("test_")]


@pytest.mark.parametrize(
    ("kit", "check", "message"), BROKEN, ids=[f"{type(kit.make()).__name__}-{check}" for kit, check, _ in BROKEN]
)
def test_a_broken_part_fails_its_check(kit, check, message):
    with pytest.raises((AssertionError, TypeError, KeyError, nascore.errors.SpaceError), match=message):
        getattr(kit, check)()


@pytest.mark.parametrize("kit", GOOD, ids=lambda kit: type(kit.make()).__name__)
def test_a_good_part_passes_all_checks(kit):
    for check in checks_of(kit):
        getattr(kit, check)()


def test_every_check_has_a_part_that_fails_it():
    proved = {check for _, check, _ in BROKEN}
    assert proved == {check for kit in GOOD for check in checks_of(kit)}


def test_a_kit_without_a_part_cannot_be_made():
    with pytest.raises(TypeError, match="make"):
        SamplerConformance()
