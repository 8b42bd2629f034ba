"""A run: a population in training, and everything that is made from it. `experiments.train` drives it.

Each process holds some of the members; what is written once, process 0 writes.
"""

import contextlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments import cli, datasets, feeds
from experiments.workdir import Workdir
from gtp_jax import checkpoint, population, processes, results, tasks
from gtp_jax import config as gtp_config
from gtp_jax import placement as placing
from gtp_jax.data import sources
from gtp_jax.errors import UserError
from gtp_jax.evaluation import summarize
from gtp_jax.logging import MetricsLogger
from gtp_jax.rollouts import Evaluator


def member_names(program, members, with_label: bool) -> list[str]:
    """What some of a program's members are called in logs: by what they do not have in common."""
    label, swept = f"{program.label}/" * with_label, program.swept
    return [
        "-".join([f"{label}{m.task}", f"seed{m.seed}", *(f"{name}{getattr(m.config, name):g}" for name in swept)])
        for m in members
    ]


class Run:
    """A population, begun or resumed.

    Attributes:
        step: updates of each member so far.
        timing: `timing` of results.json.
    """

    def __init__(self, config, workdir: Workdir, stack: contextlib.ExitStack):
        self._started = time.perf_counter()
        self._config, self._workdir = config, workdir
        self._programs = gtp_config.programs(config)
        self._placements = {p.label: placing.spread(len(p.members), turn) for turn, p in enumerate(self._programs)}
        self._held = {p.label: self._placements[p.label].held_of(p.members) for p in self._programs}
        self._announce()
        with processes.together():
            self._checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir.path)))
        steps = processes.gather(self._checkpoints.latest_step)
        if len(set(steps)) > 1:
            raise UserError(f"the processes see different checkpoints in {workdir.path} ({steps}); try again")
        self.step = steps[0] or 0
        seconds = dict.fromkeys(["dataset_s", "compile_s", "train_s", "eval_s", "total_s"], 0.0)
        self._progress = {"timing": seconds | {"updates_per_s": {}}, "datasets": {}}
        if steps[0] is not None:
            with processes.together():
                self._progress = self._checkpoints.progress()
                sources.check_records(self._progress, config.tasks)
        self.timing = self._progress["timing"]
        self._before, self._alone = self.timing["total_s"], dict.fromkeys(self._placements, 0.0)
        self._first = self.step

        self._states, self._sums = {}, {}
        self._begin()
        names = [n for p in self._programs for n in member_names(p, self._held[p.label], len(self._programs) > 1)]
        with processes.together(), workdir.writing():
            logger = MetricsLogger(workdir.path, names, self.step, is_first=processes.is_first())
        self._logger = stack.enter_context(contextlib.closing(logger))
        self._actors = {
            p.label: population.actor(structure=p.structure, placement=self._placements[p.label])
            for p in self._programs
        }
        # All programs have the same tasks and seeds, and so are all spread alike over several processes.
        every_task = [tasks.get(member.task) for member in self._held[self._programs[0].label]]
        evaluator = Evaluator(every_task, config.eval.episodes, config.eval.seed)
        self._evaluator = stack.enter_context(contextlib.closing(evaluator))
        self._signal = lambda: None

    @property
    def num_devices(self) -> int:
        """Those in use, of all processes."""
        return len({device for placement in self._placements.values() for device in placement.devices})

    def _announce(self) -> None:
        config, used = self._config, f"{self.num_devices} of {jax.device_count()} devices in use"
        process = f"process {jax.process_index()} of {jax.process_count()}, " * (jax.process_count() > 1)
        kind = jax.devices()[0].device_kind
        print(f"gtp_jax on {kind} ({process}{used}, jax {jax.__version__}); workdir {self._workdir.path}")
        for p in self._programs:
            settings = len(p.members) // (len(config.tasks) * config.num_seeds)
            size = f"{len(config.tasks)} tasks x {config.num_seeds} seeds" + f" x {settings} settings" * (settings > 1)
            critic = f"{p.structure.critic} critic" if p.structure.uses_critic else "behaviour cloning, no critic"
            print(f"{p.label}: {len(p.members)} members ({size}), {config.num_steps} updates each, {critic}")

    def _begin(self) -> None:
        """Data, states and sums."""
        config = self._config
        learnt = dict.fromkeys(member.task for held in self._held.values() for member in held)
        if self.step == config.num_steps:
            learnt = {}  # what is left to do is to evaluate
        with feeds.timed(self.timing, "dataset_s"):
            with processes.together():
                self._data = datasets.load(config, learnt, self._progress["datasets"])
                for n in {p.structure.num_step_returns for p in self._programs}:
                    for name, dataset in self._data.items():
                        datasets.drawn(name, dataset, n)  # or all processes refuse it here
            found = processes.gather({name: dataset.record() for name, dataset in self._data.items()})
            self._progress["datasets"] = datasets.agreed(self._progress["datasets"], found)
            statistics = {name: datasets.statistics(dataset) for name, dataset in self._data.items()}

        widths = {name: tasks.get(name).widths for name in config.tasks}
        settings = {"batch_size": config.batch_size, "num_steps": config.num_steps}
        like = {p.label: population.abstract(p, widths, **settings) for p in self._programs}
        with processes.together():
            restored = self._checkpoints.restore_members(like) if self._checkpoints.latest_step is not None else None
        for p in self._programs:
            placement = self._placements[p.label]
            if restored is None:
                state = population.init(p, widths, statistics, num_steps=config.num_steps, placement=placement)
                zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like[p.label][1])
                self._states[p.label], self._sums[p.label] = state, placement.put(zeros)
            else:
                self._states[p.label], self._sums[p.label] = placement.put(restored.pop(p.label))
        self._progress["slots"] = {label: placement.slots for label, placement in self._placements.items()}
        if restored is not None:
            print(f"resumed from update {self.step}")

    # ---------------------------------------------------------------- stopping and saving

    def save(self) -> None:
        """Starts writing a checkpoint."""
        self.timing["total_s"] = self._before + time.perf_counter() - self._started
        with self._workdir.writing():
            whole = {n: p.whole((self._states[n], self._sums[n])) for n, p in self._placements.items()}
            self._checkpoints.save(self.step, whole, self._progress)

    def save_if_stopped(self, kind, *_) -> None:
        """As the end of a `with` block: saves if a signal has ended it."""
        if kind is cli.Stopped and self._checkpoints.latest_step != self.step:
            self.save()

    def _agree(self, rate: float) -> float:
        """The least rate of all processes.

        Raises:
            cli.Stopped: one of them has been asked to stop.
        """
        signals, rates = zip(*processes.gather([self._signal(), rate]))
        if stopped := [number for number in signals if number]:
            raise cli.Stopped(stopped[0])
        return min(rates)

    # ---------------------------------------------------------------- evaluation

    def evaluate(self, num_steps: int) -> dict[str, list[dict]]:
        """What `evaluation.summarize` says of the members held here, by program."""
        scores = {}
        with feeds.timed(self.timing, "eval_s"):
            for program in self._programs:
                label, act = program.label, self._actors[program.label]

                def act_now(obs, t, act=act, label=label):
                    if self._signal():
                        self._agree(0.0)
                    return act(self._states[label], obs, t, num_steps=num_steps)

                description, chunk = f"evaluation of {label}, K={num_steps}", program.structure.action_chunk
                played = self._evaluator(act_now, description, chunk=chunk)
                scores[label] = [summarize(task, episodes) for task, episodes in zip(self._evaluator.tasks, played)]
        self._agree(0.0)  # a process that is asked to stop while it evaluates is waiting for the others here
        return scores

    # ---------------------------------------------------------------- training

    def train(self, bar, stack: contextlib.ExitStack) -> None:
        """All updates that are left, with evaluations, logs and checkpoints on the way."""
        config = self._config
        if self.step < config.num_steps:
            self._prepare(stack)
        self._signal = cli.note_signals()
        intervals = (config.log.interval, config.eval.interval, config.checkpoint.interval)
        per_second = 10.0
        if self._is_due_to_evaluate() and self._progress.get("evaluated") != self.step:  # a signal has broken it off
            self._log_scores(bar)
        while self.step < config.num_steps:
            per_second, clock = self._agree(per_second), time.perf_counter()
            due = min(self.step - self.step % interval + interval for interval in intervals)
            # A signal is to be heard within a second or so, and no length of call costs another program.
            num_updates = min(due - self.step, config.num_steps - self.step, max(1, round(per_second)))
            num_updates = self._advance(num_updates)
            self.timing["train_s"] += time.perf_counter() - clock
            per_second = num_updates / (time.perf_counter() - clock)
            bar.update(num_updates)
            if self.step % config.log.interval == 0 or self.step == config.num_steps:
                self._log()
            if self._is_due_to_evaluate():
                self._log_scores(bar)
            if self.step % config.checkpoint.interval == 0 or self.step == config.num_steps:
                self.save()

    def _is_due_to_evaluate(self) -> bool:
        return 0 < self.step < self._config.num_steps and self.step % self._config.eval.interval == 0

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        carries = {label: (self._states[label], self._sums[label]) for label in self._states}
        arguments = self._config, self._programs, self._placements, carries, self._data
        self._trainers, self._feeds = feeds.prepare(*arguments, self.step, self.timing, stack)
        del self._data  # by now it is where it is needed

    def _advance(self, num_updates: int) -> int:
        """Up to so many updates; how many it was."""
        fed = {label: feed(self.step) for label, feed in self._feeds.items()}
        num_updates = min([num_updates, *(most for _, most in fed.values() if most)])
        timed = self.timing["updates_per_s"]
        for label, train in self._trainers.items():  # all begin before the first is waited for
            clock, (data, _) = time.perf_counter(), fed[label]
            with jax.transfer_guard_device_to_host("disallow"):
                state, sums = train(self._states[label], self._sums[label], data, np.int32(num_updates))
            self._states[label], self._sums[label] = state, sums
            if label not in timed:  # alone, for its first updates
                jax.block_until_ready(sums)
                self._alone[label] += time.perf_counter() - clock
        jax.block_until_ready(self._sums)
        self.step += num_updates
        return num_updates

    def _log(self) -> None:
        """Means of the metrics since the last time."""
        interval = self._config.log.interval
        since = self.step - (self.step - 1) // interval * interval
        for p in self._programs:
            if p.label not in self.timing["updates_per_s"]:
                count = len(p.members) * (self.step - self._first)
                self.timing["updates_per_s"][p.label] = count / self._alone[p.label]
        rows = {}
        for label, placement in self._placements.items():
            columns = placement.held_rows(self._sums[label])
            values = zip(*((column / since).tolist() for column in columns.values()))
            rows[label] = [dict(zip(columns, row)) for row in values]
        self._write(rows)
        self._sums = jax.tree.map(jnp.zeros_like, self._sums)

    def _log_scores(self, bar) -> None:
        k = max(self._config.eval.sampling_steps)
        scores = self.evaluate(k)
        names = ("success_rate", "normalized_score")
        self._write({n: [{f"{name}_K{k}": row[name] for name in names} for row in rows] for n, rows in scores.items()})
        self._progress["evaluated"] = self.step
        for label, rows in scores.items():
            values = " ".join(f"{row['normalized_score']:.1f}" for row in rows)
            bar.write(f"update {self.step}: normalised scores of {label}'s members at K={k}: {values}")

    def _write(self, rows: dict[str, list[dict]]) -> None:
        with self._workdir.writing():
            held = [row for each in rows.values() for row in each]
            self._logger.write(self.step, held, processes.gather_rows(rows))

    # ---------------------------------------------------------------- results

    def finish(self) -> tuple[list[dict], dict]:
        """Evaluates and writes results.json; its members, and timing."""
        self._checkpoints.wait()  # if the last could not be written, nobody should wait for scores first
        config, timing = self._config, self.timing
        scores = {k: self.evaluate(k) for k in config.eval.sampling_steps}
        timing["action_ms"] = {
            p.label: {
                str(k): 1e3
                * float(np.median(population.action_seconds(self._states[p.label], structure=p.structure, num_steps=k)))
                / p.structure.action_chunk
                for k in config.eval.sampling_steps
            }
            for p in self._programs
        }
        entries = processes.gather_rows(
            {
                p.label: results.member_entries(
                    p,
                    self._states[p.label],
                    self._placements[p.label],
                    datasets=self._progress["datasets"],
                    scores={k: rows[p.label] for k, rows in scores.items()},
                )
                for p in self._programs
            }
        )
        timing["total_s"] = self._before + time.perf_counter() - self._started
        timing["member_updates_per_s"] = len(entries) * config.num_steps / timing["train_s"]
        content = {"num_steps": config.num_steps, **results.provenance(self.num_devices)}
        if processes.is_first():
            with self._workdir.writing():
                results.write_json(
                    self._workdir.path / "results.json", {**content, "timing": timing, "members": entries}
                )
        return entries, timing
