"""Trains a population of agents, one compiled program for each structure, and writes everything to a working directory.

    python -m experiments.train --config=configs/antmaze.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]

Running again with the same --workdir resumes from the last checkpoint. Exit status 2 means a mistake in what was asked
for; it comes with one line that says what to do.
"""

import contextlib
import dataclasses
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
from gtp_jax import agent, checkpoint, population, results, tasks
from gtp_jax import config as gtp_config
from gtp_jax.cores import available_cores
from gtp_jax.data import minari_source, transitions
from gtp_jax.errors import UserError
from gtp_jax.evaluation import Evaluator, summarize
from gtp_jax.logging import MetricsLogger

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with an optional :VARIANT.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes; runs/TASK-TIME if not given.")


def open_workdir(config) -> pathlib.Path:
    """Makes or reopens the working directory; refuses one of another config."""
    name = "-".join(
        [*(task.replace("/", "-") for task in config.tasks[:1]), f"{datetime.datetime.now():%Y%m%d-%H%M%S}"]
    )
    workdir = pathlib.Path(WORKDIR.value or f"runs/{name}").expanduser().absolute()
    # With every agent field spelt out, a run means the same when a preset changes.
    agents = {program.label: dataclasses.asdict(program.config) for program in gtp_config.programs(config)}
    content = json.loads(config.to_json()) | {"agents": agents}
    content = json.loads(json.dumps(content))  # tuples become lists, as in the file
    path = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists() and any((workdir / "checkpoints").glob("[0-9]*")):  # else there is nothing to mix up
            old = json.loads(path.read_text())
            if "agents" not in old:
                raise UserError(f"{workdir} holds a run of another version of gtp_jax; use another --workdir")
            spelt_out = ("preset", "agent")  # in `agents`
            old, new = ({k: v for k, v in each.items() if k not in spelt_out} for each in (old, content))
            for field, (before, now) in _differences(old, new).items():
                raise UserError(f"{workdir} holds a run with {field} = {before}, not {now}; use another --workdir")
        results.write_json(path, content)
    except (OSError, json.JSONDecodeError) as error:
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


def device_data(members, datasets, statistics, num_step_returns: int, gamma: float) -> population.Data:
    """All data sets end to end on the device, normalised."""
    parts, offsets, start = [], {}, 0
    for name, dataset in datasets.items():
        mean, std = statistics[name]
        t = transitions.n_step(dataset.transitions, num_step_returns, gamma)
        obs, next_obs = ((x - mean) / std for x in (t.obs, t.next_obs))
        parts.append(agent.Batch(obs, t.action, t.reward, next_obs, t.discount))
        offsets[name] = start
        start += len(t.reward)
    return population.Data(
        jax.tree.map(lambda *x: jnp.asarray(np.concatenate(x)), *parts),
        jnp.array([offsets[member.task] for member in members], jnp.int32),
        jnp.array([len(datasets[member.task].transitions.reward) for member in members], jnp.int32),
    )


def main(stack: contextlib.ExitStack) -> None:
    started = time.perf_counter()
    if CONFIG.value is None:
        raise UserError("--config is needed, as in --config=configs/antmaze.py")
    config = CONFIG.value
    try:
        gtp_config.validate(config)
    except OSError as error:  # a config file that cannot be read is noticed at the first look into it
        raise UserError(str(error).splitlines()[-1].strip()) from error
    programs, members = gtp_config.programs(config), gtp_config.members(config)
    prefixes = [f"{program.label}/" if len(programs) > 1 else "" for program in programs]
    names = [f"{prefix}{member.task}-seed{member.seed}" for prefix in prefixes for member in members]
    workdir = open_workdir(config)

    # ---------------------------------------------------------------- what runs where
    device = jax.devices()[0]
    meshes, num_used = population.program_meshes(programs)
    used = f"{num_used} of {jax.device_count()} devices in use"
    print(f"gtp_jax on {device.device_kind} ({used}, jax {jax.__version__}); workdir {workdir}")
    size = f"{len(config.tasks)} tasks x {config.num_seeds} seeds"
    for program in programs:
        critic = f"{program.config.critic} critic" if program.config.uses_critic else "behaviour cloning, no critic"
        print(f"{program.label}: {len(members)} members ({size}), {config.num_steps} updates each, {critic}")

    # ---------------------------------------------------------------- data
    checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir)))
    seconds = dict.fromkeys(["dataset_s", "compile_s", "train_s", "eval_s", "total_s"], 0.0)
    progress = {"timing": seconds, "datasets": {}}
    if checkpoints.latest_step is not None:
        progress = checkpoints.progress()
    timing = progress["timing"]
    timing.setdefault("updates_per_s", {})  # a run of an earlier version has none
    before = timing["total_s"]
    clock = time.perf_counter()
    datasets = load_datasets(config, progress["datasets"])
    progress["datasets"] = {name: dataset.record() for name, dataset in datasets.items()} | progress["datasets"]
    statistics = {name: transitions.observation_statistics(d.transitions.obs) for name, d in datasets.items()}

    @functools.cache  # programs that look ahead alike share one copy
    def placed(mesh, num_step_returns, gamma):
        return population.place(device_data(members, datasets, statistics, num_step_returns, gamma), mesh)

    data = {}
    for program in programs:
        agent_config = program.config
        ahead = (agent_config.num_step_returns, agent_config.discount) if agent_config.uses_critic else (1, 1.0)
        data[program.label] = placed(meshes[program.label], *ahead)
    timing["dataset_s"] += time.perf_counter() - clock

    # ---------------------------------------------------------------- the population, fresh or resumed
    obs_mean, obs_std = (np.stack([statistics[member.task][i] for member in members]) for i in (0, 1))
    _, action_dim = tasks.get(config.tasks[0]).widths
    states = population.init_programs(
        programs, obs_mean, obs_std, action_dim, num_steps=config.num_steps, meshes=meshes
    )
    step = 0
    if checkpoints.latest_step is not None:
        step, states = checkpoints.latest_step, checkpoints.restore(states)
        print(f"resumed from update {step}")
    logger = stack.enter_context(contextlib.closing(MetricsLogger(workdir, names, step)))

    # ---------------------------------------------------------------- evaluation
    actors = {p.label: population.actor(action_dim=action_dim, config=p.config, mesh=meshes[p.label]) for p in programs}
    evaluator = stack.enter_context(
        contextlib.closing(Evaluator([tasks.get(m.task) for m in members], config.eval.episodes, config.eval.seed))
    )

    def evaluate(num_steps: int) -> list[dict]:
        """Of all members, those of one program after another's."""
        clock, scores = time.perf_counter(), []
        for label, act in actors.items():

            def act_now(obs, t, act=act, label=label):
                return act(states[label], obs, t, num_steps=num_steps)

            played = evaluator(act_now, f"evaluation of {label}, K={num_steps}")
            scores += [summarize(task, episodes) for task, episodes in zip(evaluator.tasks, played)]
        timing["eval_s"] += time.perf_counter() - clock
        return scores

    # ---------------------------------------------------------------- training
    chunk = gtp_config.chunk_length(config)
    trainers, clock = {}, time.perf_counter()
    for program in programs if step < config.num_steps else ():
        train = population.trainer(
            config=program.config,
            batch_size=config.batch_size,
            num_updates=chunk,
            num_steps=config.num_steps,
            mesh=meshes[program.label],
        )
        trainers[program.label] = train.lower(states[program.label], data[program.label]).compile()
    timing["compile_s"] += time.perf_counter() - clock
    jax.block_until_ready((states, data))  # or the first chunk would be charged for what is still under way
    bar = tqdm(total=config.num_steps, initial=step, desc="training", unit="update", smoothing=0.05)
    while step < config.num_steps:
        clock, means, metrics = time.perf_counter(), {}, {}
        for label, train in trainers.items():  # all begin before the first is waited for, each once timed alone
            begun = time.perf_counter()
            states[label], means[label] = train(states[label], data[label])
            if label not in timing["updates_per_s"]:
                jax.block_until_ready(means[label])
                timing["updates_per_s"][label] = len(members) * chunk / (time.perf_counter() - begun)
        for i, each in enumerate(means.values()):
            for name, values in each.items():
                row = metrics.setdefault(name, [None] * len(names))
                row[i * len(members) : (i + 1) * len(members)] = np.asarray(values).tolist()
        step += chunk
        timing["train_s"] += time.perf_counter() - clock
        bar.update(chunk)
        logger.write(step, metrics)
        if step % config.eval.interval == 0 and step < config.num_steps:
            k = max(config.eval.sampling_steps)
            scores = evaluate(k)
            logger.write(step, {f"success_rate_K{k}": [score["success_rate"] for score in scores]})
            for i, program in enumerate(programs):
                rates = [f"{score['success_rate']:.2f}" for score in scores[i * len(members) : (i + 1) * len(members)]]
                bar.write(f"update {step}: success rate of {program.label}'s members at K={k}: {' '.join(rates)}")
        if step % config.checkpoint.interval == 0 or step == config.num_steps:
            timing["total_s"] = before + time.perf_counter() - started
            checkpoints.save(step, states, progress)
    bar.close()

    # ---------------------------------------------------------------- results
    scores = {k: evaluate(k) for k in config.eval.sampling_steps}
    timing["action_ms"] = {
        program.label: {
            str(k): 1e3
            * population.action_seconds(
                states[program.label], action_dim=action_dim, config=program.config, num_steps=k
            )
            for k in config.eval.sampling_steps
        }
        for program in programs
    }
    entries = results.member_entries(programs, states, datasets=progress["datasets"], scores=scores)
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
