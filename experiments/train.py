"""Trains a population of agents, one compiled program for each structure, and writes everything to a working directory.

    python -m experiments.train --config=configs/antmaze.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]

Running again with the same --workdir resumes from the last checkpoint. Exit status 2 means a mistake in what was asked
for; it comes with one line that says what to do.
"""

import contextlib
import datetime
import functools
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from experiments import cli
from gtp_jax import checkpoint, population, results, tasks
from gtp_jax import config as gtp_config
from gtp_jax import placement as placing
from gtp_jax.agent_config import NUMBERS
from gtp_jax.cores import available_cores
from gtp_jax.data import minari_source, transitions
from gtp_jax.errors import UserError
from gtp_jax.evaluation import Evaluator, summarize
from gtp_jax.logging import MetricsLogger
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with an optional :VARIANT.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes; runs/TASK-TIME if not given.")


def validated(config):
    """What a --config gave, if it can be trained.

    Raises:
        UserError: one line that says what is wrong.
    """
    if config is None:
        raise UserError("--config is needed, as in --config=configs/antmaze.py")
    try:
        gtp_config.validate(config)
    except OSError as error:  # a config file that cannot be read is noticed at the first look into it
        raise UserError(str(error).splitlines()[-1].strip()) from error
    return config


def open_workdir(config, workdir: str | None) -> pathlib.Path:
    """Makes or reopens a working directory, runs/TASK-TIME if None; refuses one of another config."""
    name = "-".join(
        [*(task.replace("/", "-") for task in config.tasks[:1]), f"{datetime.datetime.now():%Y%m%d-%H%M%S}"]
    )
    workdir = pathlib.Path(workdir or f"runs/{name}").expanduser().absolute()
    # With every agent field spelt out, a run means the same when a preset changes.
    agents = {program.label: program.fields for program in gtp_config.programs(config)}
    content = json.loads(config.to_json()) | {"agents": agents}
    content = json.loads(json.dumps(content))  # tuples become lists, as in the file
    path = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        refuse_links(workdir)
        begun = [*workdir.glob("checkpoints/[0-9]*"), *workdir.glob("results.json")]
        if path.exists() and begun:  # else there is nothing to mix up
            old = json.loads(path.read_text())
            if not isinstance(old, dict) or "agents" not in old:
                raise UserError(f"{workdir} holds a run of another version of gtp_jax; use another --workdir")
            spelt_out = ("preset", "agent")  # in `agents`
            old, new = ({k: v for k, v in each.items() if k not in spelt_out} for each in (old, content))
            for field, (before, now) in _differences(old, new).items():
                raise UserError(f"{workdir} holds a run with {field} = {before}, not {now}; use another --workdir")
        results.write_json(path, content)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"working directory {workdir} cannot be used: {error}; use another --workdir") from error
    return workdir


def _differences(old: dict, new: dict, prefix: str = "") -> dict[str, tuple]:
    found = {}
    for name in {**old, **new}:
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found[prefix + name] = (a, b)
    return found


def load_datasets(config, known: dict[str, dict]) -> dict[str, minari_source.Dataset]:
    """Each task's data; a resumed run takes the data sets that it began with."""
    datasets = {}
    for name in config.tasks:
        asked = known[name]["id"] if name in known else config.dataset
        generated = {"num_transitions": config.generate.num_transitions, "seed": config.generate.seed}
        datasets[name] = minari_source.resolve(tasks.get(name), asked, **generated)
        record = datasets[name].record()
        if name in known and record["num_transitions"] != known[name]["num_transitions"]:
            raise UserError(f"data set {record['id']} is not the one this run began with; use another --workdir")
        rewards = int(datasets[name].transitions.reward.sum())
        print(
            f"{name}: data set {record['id']} ({record['source']}), {record['num_transitions']} transitions, "
            f"{rewards} of them rewarded" + (": a critic has nothing to learn" if not rewards else "")
        )
    return datasets


def member_names(program, members, with_label: bool) -> list[str]:
    """What some of a program's members are called in logs: by what they do not have in common."""
    swept = [name for name in NUMBERS if isinstance(program.fields[name], tuple)]
    label = f"{program.label}/" * with_label
    return [
        "-".join([f"{label}{m.task}", f"seed{m.seed}", *(f"{name}{getattr(m.config, name):g}" for name in swept)])
        for m in members
    ]


def place_data(kinds, num_step_returns: int, datasets, statistics, placement) -> placing.Data:
    """The data of members with these tasks and discounts on this process's devices, normalised."""
    blocks, returns = {}, {}
    for task, discount in dict.fromkeys(kinds[slot] for slot in placement.local_slots):
        mean, std = statistics[task]
        t = transitions.n_step(datasets[task].transitions, num_step_returns, discount)
        returns[task, discount] = (t.reward, t.discount)
        blocks[task] = ((t.obs - mean) / std, t.action, (t.next_obs - mean) / std)
    return placing.place(placement, kinds, blocks, returns)


def main(stack: contextlib.ExitStack) -> None:
    started = time.perf_counter()
    config = validated(CONFIG.value)
    programs = gtp_config.programs(config)
    workdir = open_workdir(config, WORKDIR.value)

    # ---------------------------------------------------------------- what runs where
    device = jax.devices()[0]
    placements = {p.label: placing.spread(len(p.members), turn) for turn, p in enumerate(programs)}
    held = {p.label: placements[p.label].held_of(p.members) for p in programs}
    names = [name for program in programs for name in member_names(program, held[program.label], len(programs) > 1)]
    num_used = len({device for placement in placements.values() for device in placement.devices})
    used = f"{num_used} of {jax.device_count()} devices in use"
    print(f"gtp_jax on {device.device_kind} ({used}, jax {jax.__version__}); workdir {workdir}")
    for program in programs:
        settings = len(program.members) // (len(config.tasks) * config.num_seeds)
        size = f"{len(config.tasks)} tasks x {config.num_seeds} seeds" + f" x {settings} settings" * (settings > 1)
        structure = program.structure
        critic = f"{structure.critic} critic" if structure.uses_critic else "behaviour cloning, no critic"
        print(f"{program.label}: {len(program.members)} members ({size}), {config.num_steps} updates each, {critic}")

    # ---------------------------------------------------------------- data
    checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir)))
    seconds = dict.fromkeys(["dataset_s", "compile_s", "train_s", "eval_s", "total_s"], 0.0)
    progress = {"timing": seconds, "datasets": {}}
    if checkpoints.latest_step is not None:
        progress = checkpoints.progress()
        minari_source.check_records(progress, config.tasks)
    timing = progress["timing"]
    timing.setdefault("updates_per_s", {})  # a run of an earlier version has none
    before = timing["total_s"]
    clock = time.perf_counter()
    datasets = load_datasets(config, progress["datasets"])
    progress["datasets"] = {name: dataset.record() for name, dataset in datasets.items()} | progress["datasets"]
    statistics = {name: transitions.observation_statistics(d.transitions.obs) for name, d in datasets.items()}

    @functools.cache  # programs that look ahead alike share one copy
    def placed(kinds, num_step_returns, placement):
        return place_data(kinds, num_step_returns, datasets, statistics, placement)

    data = {}
    for program in programs:
        kinds = tuple((member.task, member.discount) for member in program.members)
        ahead = program.structure.num_step_returns if program.structure.uses_critic else 1
        data[program.label] = placed(kinds, ahead, placements[program.label])
    timing["dataset_s"] += time.perf_counter() - clock

    # ---------------------------------------------------------------- the population, fresh or resumed
    widths = {name: tasks.get(name).widths for name in config.tasks}
    settings = {"batch_size": config.batch_size, "num_steps": config.num_steps}
    like = {p.label: population.abstract(p, widths, **settings) for p in programs}
    states, sums, step = {}, {}, 0
    if checkpoints.latest_step is None:
        for p in programs:
            placement = placements[p.label]
            states[p.label] = population.init(p, widths, statistics, num_steps=config.num_steps, placement=placement)
            sums[p.label] = placement.put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like[p.label][1]))
    else:
        restored, step = checkpoints.restore(like), checkpoints.latest_step
        for label, placement in placements.items():
            states[label], sums[label] = placement.put(restored[label])
        print(f"resumed from update {step}")
    logger = stack.enter_context(contextlib.closing(MetricsLogger(workdir, names, step)))

    @stack.push
    def save_if_stopped(kind, *_):
        if kind is cli.Stopped and checkpoints.latest_step != step:
            save()

    def save():
        timing["total_s"] = before + time.perf_counter() - started
        checkpoints.save(step, {label: (states[label], sums[label]) for label in states}, progress)

    # ---------------------------------------------------------------- evaluation
    actors = {p.label: population.actor(structure=p.structure, placement=placements[p.label]) for p in programs}
    every_task = [tasks.get(member.task) for member in held[programs[0].label]]  # the same for all programs
    evaluator = stack.enter_context(contextlib.closing(Evaluator(every_task, config.eval.episodes, config.eval.seed)))

    def evaluate(num_steps: int) -> list[dict]:
        """Of all members, those of one program after another's."""
        clock, scores = time.perf_counter(), []
        for label, act in actors.items():

            def act_now(obs, t, act=act, label=label):
                stop_if_asked()
                return act(states[label], obs, t, num_steps=num_steps)

            played = evaluator(act_now, f"evaluation of {label}, K={num_steps}")
            scores += [summarize(task, episodes) for task, episodes in zip(evaluator.tasks, played)]
        timing["eval_s"] += time.perf_counter() - clock
        return scores

    # ---------------------------------------------------------------- training
    trainers, clock = {}, time.perf_counter()
    for p in programs if step < config.num_steps else ():
        train = population.trainer(structure=p.structure, mesh=placements[p.label].mesh, **settings)
        trainers[p.label] = train.lower(states[p.label], sums[p.label], data[p.label], np.int32(0)).compile()
    timing["compile_s"] += time.perf_counter() - clock
    jax.block_until_ready((states, data))  # or the first updates would be charged for what is still under way
    stop_if_asked = cli.stop_on_signals()
    intervals = (config.log.interval, config.eval.interval, config.checkpoint.interval)
    alone = dict.fromkeys(trainers, 0.0)  # seconds of the first updates, for which programs wait for each other
    first, per_second = step, 10.0
    bar = tqdm(total=config.num_steps, initial=step, desc="training", unit="update", smoothing=0.05)
    while step < config.num_steps:
        stop_if_asked()
        clock, due = time.perf_counter(), min(step - step % interval + interval for interval in intervals)
        # A signal is to be heard within a second or so, and no length of call costs another program.
        num_updates = min(due - step, config.num_steps - step, max(1, round(per_second)))
        for label, train in trainers.items():  # all begin before the first is waited for
            begun = time.perf_counter()
            states[label], sums[label] = train(states[label], sums[label], data[label], np.int32(num_updates))
            if label not in timing["updates_per_s"]:
                jax.block_until_ready(sums[label])
                alone[label] += time.perf_counter() - begun
        jax.block_until_ready(sums)
        step += num_updates
        timing["train_s"] += time.perf_counter() - clock
        per_second = num_updates / (time.perf_counter() - clock)
        bar.update(num_updates)
        if step % config.log.interval == 0 or step == config.num_steps:
            since = step - (step - 1) // config.log.interval * config.log.interval
            for label in alone.keys() - timing["updates_per_s"].keys():
                timing["updates_per_s"][label] = len(held[label]) * (step - first) / alone[label]
            metrics = {}
            for i, p in enumerate(programs):
                for name, values in placements[p.label].held_rows(sums[p.label]).items():
                    row = metrics.setdefault(name, [None] * len(names))
                    row[i * len(every_task) : (i + 1) * len(every_task)] = (values / since).tolist()
            logger.write(step, metrics)
            sums = jax.tree.map(jnp.zeros_like, sums)
        if step % config.eval.interval == 0 and step < config.num_steps:
            k = max(config.eval.sampling_steps)
            scores = evaluate(k)
            logger.write(step, {f"success_rate_K{k}": [score["success_rate"] for score in scores]})
            for i, p in enumerate(programs):
                mine = scores[i * len(every_task) : (i + 1) * len(every_task)]
                rates = " ".join(f"{score['success_rate']:.2f}" for score in mine)
                bar.write(f"update {step}: success rate of {p.label}'s members at K={k}: {rates}")
        if step % config.checkpoint.interval == 0 or step == config.num_steps:
            save()
    bar.close()

    # ---------------------------------------------------------------- results
    scores = {k: evaluate(k) for k in config.eval.sampling_steps}
    timing["action_ms"] = {
        p.label: {
            str(k): 1e3 * population.action_seconds(states[p.label], structure=p.structure, num_steps=k)
            for k in config.eval.sampling_steps
        }
        for p in programs
    }
    entries = results.member_entries(programs, states, placements, datasets=progress["datasets"], scores=scores)
    timing["total_s"] = before + time.perf_counter() - started
    timing["member_updates_per_s"] = len(names) * config.num_steps / timing["train_s"]
    results.write_json(
        workdir / "results.json",
        {
            "num_steps": config.num_steps,
            **results.provenance(num_used),
            "timing": timing,
            "members": entries,
        },
    )
    print(f"\n{results.table(entries, timing)}\n")
    print(
        f"{timing['total_s']:.0f} s in all, {timing['member_updates_per_s']:.0f} member-updates/s; "
        f"results in {workdir / 'results.json'}"
    )


if __name__ == "__main__":
    # One CPU device per core: members on different devices train side by side, which threads within one do not match.
    jax.config.update("jax_num_cpu_devices", available_cores())
    cli.run(main)
