"""Trains a population of GTP agents in one compiled program, evaluates it and writes everything to a working directory.

    python -m experiments.train --config=configs/antmaze.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]

Running again with the same --workdir resumes from the last checkpoint. Exit status 2 means a mistake in what was asked
for; it comes with one line that says what to do.
"""

import contextlib
import dataclasses
import datetime
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
    content = json.loads(config.to_json()) | {"agent": dataclasses.asdict(gtp_config.agent_config(config))}
    content = json.loads(json.dumps(content))  # tuples become lists, as in the file
    path = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists() and any((workdir / "checkpoints").glob("[0-9]*")):  # else there is nothing to mix up
            for field, (old, new) in _differences(json.loads(path.read_text()), content).items():
                raise UserError(f"{workdir} holds a run with {field} = {old}, not {new}; use another --workdir")
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


def load_datasets(config, discount: float, known: dict[str, dict]) -> dict[str, minari_source.Dataset]:
    """Each task's data; a resumed run takes the data sets that it began with."""
    datasets = {}
    for name in config.tasks:
        asked = known[name]["id"] if name in known else config.dataset
        generated = {"num_transitions": config.generate.num_transitions, "seed": config.generate.seed}
        datasets[name] = minari_source.resolve(tasks.get(name), asked, discount=discount, **generated)
        record = datasets[name].record()
        if name in known and record["num_transitions"] != known[name]["num_transitions"]:
            raise UserError(f"data set {record['id']} is not the one this run began with; use another --workdir")
        rewards = int(datasets[name].transitions.reward.sum())
        print(
            f"{name}: data set {record['id']} ({record['source']}), {record['num_transitions']} transitions, "
            f"{rewards} of them rewarded" + (": a critic has nothing to learn" if not rewards else "")
        )
    return datasets


def device_data(members, datasets, num_step_returns: int) -> tuple[population.Data, np.ndarray, np.ndarray]:
    """All data sets end to end on the device, normalised, and each member's observation statistics (M, O)."""
    statistics = {name: transitions.observation_statistics(d.transitions.obs) for name, d in datasets.items()}
    parts, offsets, start = [], {}, 0
    for name, dataset in datasets.items():
        mean, std = statistics[name]
        t = transitions.n_step(dataset.transitions, num_step_returns)
        obs, next_obs = ((x - mean) / std for x in (t.obs, t.next_obs))
        parts.append(agent.Batch(obs, t.action, t.reward, next_obs, t.discount))
        offsets[name] = start
        start += len(t.reward)
    data = population.Data(
        jax.tree.map(lambda *x: jnp.asarray(np.concatenate(x)), *parts),
        jnp.array([offsets[member.task] for member in members], jnp.int32),
        jnp.array([len(datasets[member.task].transitions.reward) for member in members], jnp.int32),
    )
    means, stds = (np.stack([statistics[member.task][i] for member in members]) for i in (0, 1))
    return data, means, stds


def main(stack: contextlib.ExitStack) -> None:
    started = time.perf_counter()
    if CONFIG.value is None:
        raise UserError("--config is needed, as in --config=configs/antmaze.py")
    config = CONFIG.value
    try:
        gtp_config.validate(config)
    except OSError as error:  # a config file that cannot be read is noticed at the first look into it
        raise UserError(str(error).splitlines()[-1].strip()) from error
    agent_config, members = gtp_config.agent_config(config), gtp_config.members(config)
    names = [f"{member.task}-seed{member.seed}" for member in members]
    workdir = open_workdir(config)

    # ---------------------------------------------------------------- what runs where
    device = jax.devices()[0]
    mesh = population.member_mesh(len(members))
    used = f"{mesh.size} of {jax.device_count()} devices in use"
    print(f"gtp_jax on {device.device_kind} ({used}, jax {jax.__version__}); workdir {workdir}")
    guidance = f"{agent_config.critic} critic" if agent_config.uses_critic else "behaviour cloning, no critic"
    size = f"{len(config.tasks)} tasks x {config.num_seeds} seeds"
    print(f"{len(members)} members ({size}), {config.num_steps} updates each, {guidance}")

    # ---------------------------------------------------------------- data
    checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir)))
    progress = {
        "timing": dict.fromkeys(["dataset_s", "compile_s", "train_s", "eval_s", "total_s"], 0.0),
        "datasets": {},
    }
    if checkpoints.latest_step is not None:
        progress = checkpoints.progress()
    timing = progress["timing"]
    before = timing["total_s"]
    clock = time.perf_counter()
    datasets = load_datasets(config, agent_config.discount, progress["datasets"])
    progress["datasets"] = {name: dataset.record() for name, dataset in datasets.items()} | progress["datasets"]
    data, obs_mean, obs_std = device_data(members, datasets, agent_config.num_step_returns)
    timing["dataset_s"] += time.perf_counter() - clock

    # ---------------------------------------------------------------- the population, fresh or resumed
    action_dim = data.transitions.action.shape[-1]
    states = population.init(
        members, obs_mean, obs_std, action_dim, config=agent_config, num_steps=config.num_steps, mesh=mesh
    )
    step = 0
    if checkpoints.latest_step is not None:
        step, states = checkpoints.latest_step, checkpoints.restore(states)
        print(f"resumed from update {step}")
    data = population.place(data, mesh)
    logger = stack.enter_context(contextlib.closing(MetricsLogger(workdir, names, step)))

    # ---------------------------------------------------------------- evaluation
    act = population.actor(action_dim=action_dim, config=agent_config, mesh=mesh)
    evaluator = stack.enter_context(
        contextlib.closing(Evaluator([tasks.get(m.task) for m in members], config.eval.episodes, config.eval.seed))
    )

    def evaluate(num_steps: int) -> list[dict]:
        clock = time.perf_counter()
        played = evaluator(lambda obs, t: act(states, obs, t, num_steps=num_steps), f"evaluation, K={num_steps}")
        timing["eval_s"] += time.perf_counter() - clock
        return [summarize(task, episodes) for task, episodes in zip(evaluator.tasks, played)]

    # ---------------------------------------------------------------- training
    chunk = gtp_config.chunk_length(config)
    train = population.trainer(
        config=agent_config, batch_size=config.batch_size, num_updates=chunk, num_steps=config.num_steps, mesh=mesh
    )
    clock = time.perf_counter()
    if step < config.num_steps:
        train = train.lower(states, data).compile()
    timing["compile_s"] += time.perf_counter() - clock
    bar = tqdm(total=config.num_steps, initial=step, desc="training", unit="update", smoothing=0.05)
    while step < config.num_steps:
        clock = time.perf_counter()
        states, metrics = train(states, data)
        metrics = {name: np.asarray(values).tolist() for name, values in metrics.items()}
        step += chunk
        timing["train_s"] += time.perf_counter() - clock
        bar.update(chunk)
        logger.write(step, metrics)
        if step % config.eval.interval == 0 and step < config.num_steps:
            k = max(config.eval.sampling_steps)
            scores = evaluate(k)
            logger.write(step, {f"success_rate_K{k}": [score["success_rate"] for score in scores]})
            bar.write(f"update {step}: success rate at K={k} " + " ".join(f"{s['success_rate']:.2f}" for s in scores))
        if step % config.checkpoint.interval == 0 or step == config.num_steps:
            timing["total_s"] = before + time.perf_counter() - started
            checkpoints.save(step, states, progress)
    bar.close()

    # ---------------------------------------------------------------- results
    scores = {k: evaluate(k) for k in config.eval.sampling_steps}
    entries = results.member_entries(
        members, states, eta=agent_config.eta, datasets=progress["datasets"], scores=scores
    )
    timing["total_s"] = before + time.perf_counter() - started
    updates = len(members) * config.num_steps
    results.write_json(
        workdir / "results.json",
        {
            "num_steps": config.num_steps,
            **results.provenance(mesh.size),
            "timing": {**timing, "member_updates_per_s": updates / timing["train_s"]},
            "members": entries,
        },
    )
    print(f"\n{results.table(entries)}\n")
    print(
        f"{timing['total_s']:.0f} s in all, {updates / timing['train_s']:.0f} member-updates/s; "
        f"results in {workdir / 'results.json'}"
    )


if __name__ == "__main__":
    # One CPU device per core: members on different devices train side by side, which threads within one do not match.
    jax.config.update("jax_num_cpu_devices", available_cores())
    cli.run(main)
