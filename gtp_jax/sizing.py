"""How much memory a population takes, known before it trains: its compiled program tells, and none of it is taken."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gtp_jax import placement as placing
from gtp_jax import population
from gtp_jax.errors import UserError
from gtp_jax.placement import Placement
from gtp_jax.population import Program

COPIES = 2  # of the states: those that train, and what `checkpoint.Checkpoints.save` copies to write from
_SOME = 8  # members of the smaller of two measured populations, enough for XLA to treat more alike


class Size(NamedTuple):
    """Bytes on one device."""

    state: int  # of each member: parameters, averages, optimisers, sums of metrics; exact
    work: int  # of each member while all train at once, beside its state; measured
    shared: int  # of working memory, however many members; measured
    data: int  # of the data of all tasks; exact where all transitions are drawn, else less (`transitions.whole`)

    def members(self, memory: int) -> int:
        """How many fit in that many bytes, checkpoints included."""
        return max(0, (memory - self.data - self.shared) // (COPIES * self.state + self.work))


def num_bytes(tree) -> int:
    """Of arrays, or of what stands for them."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def program_bytes(compiled: jax.stages.Compiled) -> int:
    """Of each device while a compiled program runs: what it is given, returns and works with."""
    memory = compiled.memory_analysis()  # what is donated is both given and returned
    given_and_returned = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return given_and_returned + memory.temp_size_in_bytes


def training(
    program: Program,
    widths: Mapping[str, tuple[int, int]],
    *,
    num_transitions: int,
    batch_size: int,
    num_steps: int,
    placement: Placement,
) -> tuple[Callable, tuple]:
    """`population.trainer`'s function, and what stands for the arrays (states, sums, data, n) that it takes.

    Args:
        widths: (O, D) of each task.
        num_transitions: N of each task; every device has the data of all.
        placement: says how many members there are, whatever the program has.
    """
    settings = {"batch_size": batch_size, "num_steps": num_steps}
    states, sums = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (len(placement.slots), *leaf.shape[1:]), leaf.dtype, sharding=placement.sharding
        ),
        population.abstract(program, widths, **settings),
    )
    kinds = set(map(program.kind, program.members))
    length = num_transitions * len({task for task, _ in kinds})
    widest = states.obs_mean.shape[-1], states.action_mask.shape[-1]
    data = placing.like(placement, length, num_transitions * len(kinds), widest)
    arguments = states, sums, data, jax.ShapeDtypeStruct((), jnp.int32)
    train = population.trainer(structure=program.structure, mesh=placement.mesh, **settings)
    return train, arguments


def measure(
    program: Program, widths: Mapping[str, tuple[int, int]], *, num_transitions: int, batch_size: int, num_steps: int
) -> Size:
    """What the members of a program take on a device like the first of this process.

    Compiles the program for two numbers of members: what they differ by is a member's. On CPU members train one after
    another and share their working memory; an accelerator trains all at once. So on CPU that memory is counted once a
    member, an estimate for an accelerator before one is at hand. What evaluation takes is not in it.

    Args:
        widths: (O, D) of each task.
        num_transitions: N of each task.
    """

    def with_members(count):
        placement = placing.over(jax.local_devices()[:1], count)
        settings = {"num_transitions": num_transitions, "batch_size": batch_size, "num_steps": num_steps}
        train, arguments = training(program, widths, placement=placement, **settings)
        return program_bytes(train.lower(*arguments).compile()), arguments

    (some, _), (more, (states, sums, data, _)) = with_members(_SOME), with_members(2 * _SOME)
    state, all_data = num_bytes((states, sums)) // (2 * _SOME), num_bytes(data[:5])
    slope = (more - some) // _SOME
    work, shared = slope - state, max(0, some - _SOME * slope - all_data)
    one_at_a_time = jax.default_backend() == "cpu"
    return Size(state, work + shared * one_at_a_time, shared * (not one_at_a_time), all_data)


def parse_bytes(text: str) -> int:
    """Bytes in "80GiB", "80 GB", "500MiB" or "1000".

    Raises:
        UserError: it is none of these.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*(?:([KMGT])(i?)B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise UserError(f"{text!r} is no amount of memory; write it as 80GiB, 500MiB or 16GB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(prefix.upper()) if prefix else 0))
