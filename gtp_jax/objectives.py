"""The registry of objectives: how a solution map is learned, and how to sample what was learned.

Diffusion, flow matching, consistency models, trajectory models, shortcut models and mean flows are ways to learn one
object (GTP, section 3), so here they differ by one function. Registering another one makes it a config's choice:

    objectives.OBJECTIVES["mine"] = objectives.Objective(my_loss)
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from gtp_jax import losses

# Fields of the agent's settings that are the business of one objective or another.
SETTINGS = ("consistency_coef", "flow_coef", "distance", "time_weight", "zero_share", "solver", "solver_steps")


class Objective(NamedTuple):
    """One way to learn the map.

    Attributes:
        loss: with the signature of `losses.gtp_loss`; of `SETTINGS` it takes those that it names.
        step: name in `sampling.STEPS` of the sampler that suits what was learned.
    """

    loss: Callable
    step: str = "map"

    def settings(self) -> list[str]:
        return [name for name in SETTINGS if name in inspect.signature(self.loss).parameters]


OBJECTIVES: dict[str, Objective] = {
    "gtp": Objective(losses.gtp_loss),
    "ctm": Objective(losses.ctm_loss),
    "consistency": Objective(losses.consistency_loss, "renoise"),
    "shortcut": Objective(losses.shortcut_loss),
    "mean_flow": Objective(losses.mean_flow_loss),
    "flow_matching": Objective(losses.flow_matching_loss, "euler"),
    "diffusion": Objective(losses.diffusion_loss, "euler"),
    "regression": Objective(losses.regression_loss, "mean"),
}
