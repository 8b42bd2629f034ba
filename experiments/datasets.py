"""The data of a run's tasks: loaded, and laid out as `placement.place` and `feeding.Streamed` take them."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gtp_jax import tasks
from gtp_jax.data import minari_source, rewards, sources, transitions
from gtp_jax.errors import UserError


def load(config, names: Sequence[str], known: Mapping[str, dict]) -> dict[str, sources.Dataset]:
    """The data of some of the tasks; a resumed run takes the data sets that it began with.

    Args:
        known: of a resumed run, `Dataset.record` of each task.
    """
    datasets = {}
    for name in names:
        # What auto came to is kept to; a file has the name that config.dataset gives it.
        in_a_store = name in known and minari_source.ID.fullmatch(known[name]["id"])
        asked = known[name]["id"] if in_a_store else config.dataset
        generated = {"num_transitions": config.generate.num_transitions, "seed": config.generate.seed}
        found = sources.resolve(tasks.get(name), asked, **generated)
        record = found.record()
        if name in known and record["num_transitions"] != known[name]["num_transitions"]:
            raise UserError(f"data set {record['id']} is not the one this run began with; use another --workdir")
        rewarded = sources.num_rewarded(found.transitions)
        print(
            f"{name}: data set {record['id']} ({record['source']}), {record['num_transitions']} transitions, "
            f"{rewarded} of them with more than the least reward"
            + (": a critic has nothing to learn" if not rewarded else "")
        )
        datasets[name] = with_rewards(found, config.reward)
    return datasets


def agreed(before: Mapping[str, dict], found: Sequence[Mapping[str, dict]]) -> dict[str, dict]:
    """The record of each task's data for results.json, as it was when the run began.

    Args:
        before: of a resumed run, what this gave then.
        found: what each process has loaded now, `Dataset.record` by task.

    Raises:
        UserError: the processes have different data of one task.
    """
    records = dict(before)
    for task, record in ((task, record) for each in found for task, record in each.items()):
        first = records.setdefault(task, record)
        if any(first[key] != record[key] for key in ("id", "num_transitions")):
            one, other = (f"{each['id']} with {each['num_transitions']} transitions" for each in (first, record))
            raise UserError(f"processes of this run have different data of {task}: {one}, and {other}")
    return records


def with_rewards(dataset: sources.Dataset, transform: str) -> sources.Dataset:
    """The same with what a name in `rewards.TRANSFORMS` makes of its rewards."""
    reward = rewards.TRANSFORMS[transform](dataset.transitions)
    return dataset._replace(transitions=dataset.transitions._replace(reward=reward))


def statistics(dataset: sources.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (O,) of its observations."""
    return transitions.observation_statistics(dataset.transitions.obs)


def drawn(task: str, dataset: sources.Dataset, n: int) -> np.ndarray:
    """The transitions (M,) that training draws from where a return sums n rewards: those with a whole one.

    Raises:
        UserError: there are none.
    """
    if not (rows := np.flatnonzero(transitions.whole(dataset.transitions, n))).size:
        raise UserError(f"agent.num_step_returns = {n} is more steps than any episode of {task} has; ask for fewer")
    return rows


def arranger(datasets: Mapping[str, sources.Dataset]) -> Callable:
    """A function (kinds, n, h) -> (blocks, returns), as `placement.place` takes them, of some kinds of members.

    Kinds are those of `Program.kind`, n is how many rewards a transition sums, h how many actions it has; whatever is
    asked for again is not computed again. They have the rows of `drawn`, with observations normalised by the statistics
    of all.

    Raises:
        UserError: as `drawn`, of the function.
    """

    scales = {name: statistics(dataset) for name, dataset in datasets.items()}

    @functools.cache
    def rows(task, n):
        return drawn(task, datasets[task], n)

    @functools.cache
    def obs(task, n):
        mean, std = scales[task]
        return (datasets[task].transitions.obs[rows(task, n)] - mean) / std

    @functools.cache
    def next_obs(task, n):
        mean, std = scales[task]
        return (transitions.n_step(datasets[task].transitions, n, 1.0).next_obs[rows(task, n)] - mean) / std

    @functools.cache
    def action(task, n, h):
        return transitions.chunks(datasets[task].transitions, h)[rows(task, n)]

    @functools.cache
    def returns(task, discount, n):
        ahead = transitions.n_step(datasets[task].transitions, n, discount)
        return ahead.reward[rows(task, n)], ahead.discount[rows(task, n)]

    def arrange(kinds, n, h):
        blocks = {task: (obs(task, n), action(task, n, h), next_obs(task, n)) for task, _ in kinds}
        return blocks, {kind: returns(*kind, n) for kind in kinds}

    return arrange
