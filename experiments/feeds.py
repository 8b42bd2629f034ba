"""Before training: every program compiled, and its data on the devices or ready to be sent to them in batches."""

import collections
import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from experiments import datasets
from gtp_jax import feeding, population, processes, sizing, tasks
from gtp_jax import placement as placing
from gtp_jax.data.sources import Dataset
from gtp_jax.placement import Placement
from gtp_jax.population import Program


@contextlib.contextmanager
def timed(timing: dict[str, float], name: str) -> Iterator[None]:
    """Adds the seconds that its body takes."""
    clock = time.perf_counter()
    yield
    timing[name] += time.perf_counter() - clock


def prepare(
    config,
    programs: Sequence[Program],
    placements: Mapping[str, Placement],
    carries: Mapping[str, tuple],
    data: Mapping[str, Dataset],
    step: int,
    timing: dict[str, float],
    stack: contextlib.ExitStack,
) -> tuple[dict[str, Callable], dict[str, Callable]]:
    """What trains each program, `population.trainer` compiled, and what feeds it, `Resident` or `Streamed`.

    Args:
        placements, carries: by label; a carry is states and sums.
        data: of the tasks of this process's members.
        step: what the feeds begin with.
        stack: closes the feeds.
    """
    arrange = datasets.arranger(data)
    widths = tuple(map(max, zip(*(tasks.get(name).widths for name in config.tasks))))
    wanted = {
        p.label: (
            placements[p.label],
            tuple(map(p.kind, p.members)),
            p.widths(widths),
            (p.structure.num_step_returns, p.structure.action_chunk),
        )
        for p in programs
    }

    def compiled(data):
        settings = {"batch_size": config.batch_size, "num_steps": config.num_steps}
        trainers = {}
        for p in programs:
            train = population.trainer(structure=p.structure, mesh=placements[p.label].mesh, **settings)
            trainers[p.label] = train.lower(*carries[p.label], data[p.label], np.int32(0)).compile()
        return trainers

    def columns(placement, kinds, ahead):
        return arrange({kinds[slot] for slot in placement.local_slots}, *ahead)

    @functools.cache  # programs that want the same data share them
    def resident(placement, kinds, widths, ahead):
        return feeding.Resident(placing.place(placement, kinds, *columns(placement, kinds, ahead), widths))

    def streamed(label, placement, kinds, widths, ahead):
        keys, columns_ = carries[label][0].key, columns(placement, kinds, ahead)
        feed = feeding.Streamed(placement, kinds, *columns_, widths, keys=keys, batch_size=config.batch_size)
        return stack.enter_context(contextlib.closing(feed))

    @functools.cache
    def sizes(n):
        return {name: len(datasets.drawn(name, dataset, n)) for name, dataset in data.items()}

    like = {
        label: placing.like(placement, *placing.lengths(placement, kinds, sizes(n)), widths)
        for label, (placement, kinds, widths, (n, _)) in wanted.items()
    }
    if config.residency != "host":
        with timed(timing, "compile_s"):
            trainers = compiled(like)
        if config.residency == "device" or all(processes.gather(_have_room(trainers, wanted, like))):
            with timed(timing, "dataset_s"):
                feeds = {label: resident(*arguments) for label, arguments in wanted.items()}
                jax.block_until_ready([feed(step) for feed in feeds.values()])
            return trainers, feeds
        print("the data have no room on the devices; the host keeps them and sends batches")
    with timed(timing, "dataset_s"):
        feeds = {label: streamed(label, *arguments) for label, arguments in wanted.items()}
        blocks = {label: feed(step)[0] for label, feed in feeds.items()}
    with timed(timing, "compile_s"):
        return compiled(blocks), feeds


def _have_room(trainers: Mapping, wanted: Mapping[str, tuple], like: Mapping) -> bool:
    """Whether the devices of this process have room for the data beside everything else."""
    needed, counted = collections.Counter(), set()
    for label, trainer in trainers.items():
        mesh = wanted[label][0].mesh
        data = sizing.num_bytes(like[label]) // mesh.size
        # The states, part of the program's bytes, are there already; but a checkpoint is written from a copy of them.
        beside = sizing.program_bytes(trainer) - data
        for device in mesh.devices:
            needed[device] += beside + data * (wanted[label] not in counted)
        counted.add(wanted[label])
    return all(feeding.fits(device, num_bytes) for device, num_bytes in needed.items())
