"""MLflow's side: finds or makes the runs of one search, and sends events into them.

Everything here can be repeated: a run is looked for by its tags before it is made, metrics and
parameters that are there already are the same again. A target lives until the first error; the next
one reads from MLflow what there is, because a request without an answer may have been carried out.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from nascore.tracking import table, words
from nascore.tracking.place import artifact_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlflow.entities import Run

    from nascore.tracking.outbox import Event
    from nascore.tracking.words import Point

_METRICS_A_REQUEST = 800
_PARAMS_A_REQUEST = 100  # and as many tags: MLflow takes 1,000 things in all
_PAGE = 1_000


class Target:
    """The runs of one search in one MLflow store."""

    def __init__(self, uri: str, experiment: str, run_folder: Path, first: Event) -> None:
        """Connect; find or make the experiment and the parent run, and list its children.

        Args:
            uri: MLflow tracking URI.
            experiment: name of the experiment.
            run_folder: of the search.
            first: the first event of the outbox, which names the search.
        """
        self.client = MlflowClient(tracking_uri=uri)
        self.run_folder = run_folder
        self.objectives: list[list[str]] = first["objectives"]
        self.experiment_id = self._experiment(experiment, uri)
        self.parent = self._only(self._find(f"tags.`nascore.run` = '{first['run']}'"))
        self.children: dict[int, tuple[str, str, bool]] = {}
        if self.parent is None:
            tags = {"nascore.run": first["run"], **_cut(first["tags"])}
            self.parent = self.client.create_run(self.experiment_id, int(first["time"] * 1000), tags, first["name"])
        else:
            self._list_children()
        self.parent_id: str = self.parent.info.run_id

    # ------------------------------------------------------------------ finding

    def _experiment(self, experiment: str, uri: str) -> str:
        found = self.client.get_experiment_by_name(experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(experiment, artifact_location=artifact_root(uri)))

    def _find(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                condition,
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _only(self, runs: Iterable[Run]) -> Run | None:
        """The first of the runs; others come from a request that was carried out after we gave it up."""
        first: Run | None = None
        for run in runs:
            if first is None:
                first = run
            else:
                self.client.delete_run(run.info.run_id)
        return first

    def _list_children(self) -> None:
        """Read which trials have a child run, which evaluation it shows, and whether it is complete."""
        assert self.parent is not None
        for run in self._find(f"tags.`mlflow.parentRunId` = '{self.parent.info.run_id}'"):
            number = int(run.data.tags.get("nascore.trial", "-1"))
            if number in self.children:
                self.client.delete_run(run.info.run_id)
                continue
            started = run.data.tags.get("nascore.started", "")
            self.children[number] = (run.info.run_id, started, run.info.status != "RUNNING")

    def delete_doubles(self) -> None:
        """Look again for runs that came to be after we had given up on the request that made them."""
        self.children.clear()
        self._list_children()

    # ------------------------------------------------------------------ sending

    def start(self, event: Event) -> None:
        """The search began, or goes on: its settings, versions and ``search.toml``."""
        assert self.parent is not None
        there = self.parent.data.params
        new = words.params(event["params"])
        changed = {f"nascore.resumed.{key}": value for key, value in new.items() if there.get(key, value) != value}
        tags = _cut({**event["tags"], **changed, "nascore.status": "running"})
        self._log(self.parent_id, params={k: v for k, v in new.items() if k not in there}, tags=tags)
        self.parent.data.params.update({**new, **there})
        self.attach(event["files"])

    def trial(self, event: Event) -> None:
        """Make the child run of a trial, unless it is there."""
        number, tags = event["number"], words.trial_tags(event)
        run_id, started, done = self.children.get(number, ("", "", False))
        if run_id and started != tags["nascore.started"]:  # judged again after a kill: the later one is stored
            self.client.delete_run(run_id)
            run_id, done = "", False
        if done:
            return
        start, end = words.milliseconds(event)
        if not run_id:
            tags["mlflow.parentRunId"] = self.parent_id
            run_id = self.client.create_run(self.experiment_id, start, tags, f"trial {number}").info.run_id
        self.children[number] = (run_id, tags["nascore.started"], False)
        self._log(run_id, words.trial_points(event), words.decisions(event))
        self.client.log_text(run_id, json.dumps(event["architecture"], indent=2), "architecture.json")
        self.client.set_terminated(run_id, words.TRIAL_STATUS[event["status"]], end)
        self.children[number] = (run_id, tags["nascore.started"], True)

    def finish(self, event: Event, in_table: bool) -> None:
        """The search ended: result, tables and files; with ``in_table`` also child runs of the best few."""
        if in_table:
            objective, direction = self.objectives[0]
            front = {trial["trial"] for trial in event["front"][: 10 * table.BEST_CHILDREN]}
            maximize = direction == "maximize"
            for best in table.best_trials(self.run_folder, objective, maximize, table.BEST_CHILDREN, front):
                self.trial(best)
        tags = {"nascore.status": event["status"]}
        if event["best"] is not None:
            tags["nascore.best_trial"] = str(event["best"]["trial"])
            self.client.log_text(self.parent_id, json.dumps(event["best"], indent=2), "best_trial.json")
        tags |= {f"nascore.count.{status}": str(count) for status, count in event["counts"].items()}
        self._log(self.parent_id, tags=tags)
        self.client.log_text(self.parent_id, json.dumps(event["front"], indent=2), "pareto_front.json")
        self._attach_tables(in_table)
        self.attach(event["files"])
        for name, value in event.get("metrics", {}).items():
            self.client.log_metric(self.parent_id, name, value)
        self.client.set_terminated(self.parent_id, words.SEARCH_STATUS[event["status"]], int(event["time"] * 1000))

    def _attach_tables(self, in_table: bool) -> None:
        self.attach_table()
        if in_table:
            path = self.run_folder / "tracking" / "trials.jsonl.gz"
            table.write_events(self.run_folder, path)
            self.client.log_artifact(self.parent_id, str(path))

    def attach_table(self) -> None:
        """Attach ``trials.csv``, as it is now."""
        path = self.run_folder / "tracking" / "trials.csv"
        table.write_csv(self.run_folder, path)
        self.client.log_artifact(self.parent_id, str(path))

    def attach(self, files: list[str]) -> None:
        """Attach files of the run folder, at the same place; those that are gone are passed over."""
        for file in files:
            path = self.run_folder / file
            above = file.rpartition("/")[0] or None
            if path.is_dir():
                self.client.log_artifacts(self.parent_id, str(path), file)
            elif path.exists():
                self.client.log_artifact(self.parent_id, str(path), above)

    def points(self, points: Iterable[Point]) -> None:
        """Add metrics to the parent run."""
        self._log(self.parent_id, points)

    def set_status(self, status: str) -> None:
        """Set MLflow's status of the parent run."""
        if status == "RUNNING":
            self.client.update_run(self.parent_id, status)
        else:
            self.client.set_terminated(self.parent_id, status)

    def _log(
        self,
        run_id: str,
        points: Iterable[Point] = (),
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """``log_batch`` in as many requests as its limits ask for."""
        metrics = (Metric(p.key, p.value, p.timestamp, p.step) for p in points)
        rest_params = [Param(*pair) for pair in (params or {}).items()]
        rest_tags = [RunTag(*pair) for pair in (tags or {}).items()]
        while True:
            some = list(islice(metrics, _METRICS_A_REQUEST))
            if not (some or rest_params or rest_tags):
                return
            self.client.log_batch(
                run_id, some, rest_params[:_PARAMS_A_REQUEST], rest_tags[:_PARAMS_A_REQUEST], synchronous=True
            )
            del rest_params[:_PARAMS_A_REQUEST], rest_tags[:_PARAMS_A_REQUEST]


def _cut(tags: dict[str, Any]) -> dict[str, str]:
    return {words.name(key): words.cut(str(value), words.TAG_LENGTH) for key, value in tags.items() if str(value)}
