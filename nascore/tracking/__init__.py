"""MLflow tracking, off the critical path and never losing anything.

::

    the driver                                   the sender, a process beside it
    Tracker (life-cycle hooks)                   nascore.tracking.sender
        |  one line an event                         |  batches, retries, back-off
        v                                            v
    RUN/tracking/outbox.jsonl  -------------->   MLflow (SQLite file, or a server)
                                                     |
                                                 RUN/tracking/sent.json: how far it got

The driver never imports mlflow and never waits for it while searching. Every event can be sent twice
without harm, so either process can be killed at any instant: what was not sent is sent later, by
the next sender, by `nascore resume RUN` or by `nascore track RUN`.

========================================  =======================================================
in MLflow                                 is
========================================  =======================================================
the parent run (tag ``nascore.run``)      the search: settings as parameters; versions, git commit,
                                          seed, device and data fingerprint as tags; every trial's
                                          numbers as metrics with step = trial number
a child run (tag ``nascore.trial``)       a trial: decisions as parameters, its curve by step, costs
artifacts of the parent                   ``search.toml``, ``trials.csv``, ``pareto_front.json``, ...
========================================  =======================================================

MLflow has fewer words for an end than we: complete is FINISHED, fail is FAILED, pruned and infeasible
are KILLED. The exact word is the tag ``nascore.status``.
"""

from __future__ import annotations

from nascore.tracking.outbox import Outbox, pending
from nascore.tracking.place import default_uri, resolve_uri
from nascore.tracking.process import CLOSE_SECONDS, add_artifacts, add_metrics, flush
from nascore.tracking.tracker import Tracker

__all__ = [
    "CLOSE_SECONDS",
    "Outbox",
    "Tracker",
    "add_artifacts",
    "add_metrics",
    "default_uri",
    "flush",
    "pending",
    "resolve_uri",
]
