"""Parts for searches with worker processes: importable, so that workers can make them anew."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from toy_parts import Letters, NoData, Table

import nascore
from nascore.records import Candidate, Measurement

__all__ = ["Letters", "NoData"]


class Learner(nascore.Sampler):
    """A sampler whose proposals depend on all that it was told, in its order, and on what it proposed."""

    def setup(self, space, objectives, seed):
        super().setup(space, objectives, seed)
        self.state = 0

    def ask(self, view):
        self.state = (self.state * 31 + 7) % 100_003
        pick = self.state
        architecture = self.space.sample(lambda name, options: options[(pick + view.rng.randrange(5)) % len(options)])
        return Candidate(architecture, origin=f"state {self.state}")

    def tell(self, trial):
        self.state = (self.state * 17 + trial.number + int(trial.objectives.get("accuracy", 0.5) * 1000)) % 100_003

    def state_dict(self):
        return {"state": self.state}

    def load_state_dict(self, state, history):
        self.state = state["state"]


class Counted(NoData):
    """Writes a line to a file each time it is read."""

    def __init__(self, log: str) -> None:
        self.log = log

    def load(self, seed):
        with Path(self.log).open("a") as file:
            file.write("read\n")
        return super().load(seed)


class Waiting(Table):
    """Takes a while, every fourth trial much longer: others overtake it."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds

    def evaluate(self, candidate, context):
        time.sleep(self.seconds * (1 if context.number % 4 else 10))
        return super().evaluate(candidate, context)


class Trouble(Table):
    """Goes wrong in one way in trial 2; ``once`` names a file that makes it the only time."""

    def __init__(self, kind: str = "", once: str = "") -> None:
        self.kind, self.once = kind, once

    def evaluate(self, candidate, context):
        if context.number == 2 and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            context.report(1, accuracy=0.1)
            (context.folder() / "half").touch()
            return getattr(self, self.kind)(candidate, context)
        return super().evaluate(candidate, context)

    def die(self, candidate, context):
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self, candidate, context):
        os._exit(7)

    def hang(self, candidate, context):
        time.sleep(600)

    def spin(self, candidate, context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass

    def grow(self, candidate, context):
        held = []
        while True:
            held.append(np.ones(4_000_000))
            time.sleep(0.02)

    def refuse(self, candidate, context):
        raise MemoryError("no room")

    def lose(self, candidate, context):
        return Measurement(nascore.Status.COMPLETE, {"accuracy": 1.0, "loss": 0.0}, artifacts={"f": lambda: 0})

    def nan(self, candidate, context):
        return Measurement.complete(accuracy=float("nan"), loss=0.0)

    def fill(self, candidate, context):
        raise OSError(28, "No space left on device")


class Stateful(Table):
    """Remembers something."""

    def state_dict(self):
        return {"calls": 1}


class Shared(Table):
    """Trains shared weights, so to say."""

    def prepare(self, sampler, context):
        return nascore.Round()


class Harmless(Shared):
    """Says that it needs nothing of that."""

    stateless = True


class Devices(Table):
    """The metrics tell where it ran."""

    def evaluate(self, candidate, context):
        import torch

        found = super().evaluate(candidate, context)
        numbers = {"pid": float(os.getpid()), "threads": float(torch.get_num_threads())}
        return nascore.Measurement(found.status, found.objectives, metrics=numbers)


class Reluctant(Learner):
    """Takes a minute to say which trial it recommends, so that there is time for a second Ctrl-C."""

    def recommend(self, history):
        if history.best is not None and len(history) < 200:
            for _ in range(600 if os.environ.get("RELUCTANT") else 0):
                time.sleep(0.1)
        return history.best


class Heavy(Learner):
    """Its state is large, so that much of a search is the writing of checkpoints."""

    def state_dict(self):
        return {"state": self.state, "ballast": np.full(500_000, self.state)}

    def load_state_dict(self, state, history):
        assert (state["ballast"] == state["state"]).all()
        super().load_state_dict(state, history)
