"""Tasks that are scored by their return, as D4RL does it (Fu et al., 2020): Gym's locomotion, Kitchen and Adroit."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ReturnTask:
    """An environment as it is registered, and the data set that belongs to it.

    Attributes:
        name: "gym/hopper-medium".
        env_id: of Gymnasium's registry.
        settings: what the environment is made with, pairs of names and values.
        widths: of what the policy sees and of an action.
        horizon: steps after which an episode is cut off.
        score_range: returns that D4RL calls 0 and 100, those of a random and of an expert policy.
        minari_id: the data set on Minari's hub; None if the data are D4RL's file.
        d4rl_file: below https://rail.eecs.berkeley.edu/datasets/offline_rl; None if its files do not fit.
        keys: of observations that are dictionaries, in the order in which they are put end to end.
    """

    name: str
    env_id: str
    widths: tuple[int, int]
    horizon: int
    score_range: tuple[float, float]
    minari_id: str | None = None
    d4rl_file: str | None = None
    settings: tuple[tuple[str, object], ...] = ()
    keys: tuple[str, ...] = ()

    def flatten(self, observation) -> np.ndarray:
        """What the policy sees, (..., O) float32."""
        parts = [observation[key] for key in self.keys] or [observation]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def normalized_score(self, episode_return: float) -> float:
        low, high = self.score_range
        return 100.0 * (episode_return - low) / (high - low)


def _gym(body: str, kind: str) -> ReturnTask:
    env_id, widths, score_range = {
        "halfcheetah": ("HalfCheetah-v5", (17, 6), (-280.178953, 12135.0)),
        "hopper": ("Hopper-v5", (11, 3), (-20.272305, 3234.3)),
        "walker2d": ("Walker2d-v5", (17, 6), (1.629008, 4592.3)),
    }[body]
    file = f"gym_mujoco_v2/{body}_{kind.replace('-', '_')}-v2.hdf5"
    return ReturnTask(f"gym/{body}-{kind}", env_id, widths, 1000, score_range, d4rl_file=file)


def _kitchen(kind: str) -> ReturnTask:
    """The policy is not told its four subtasks, which are the same in all data; the return counts those that are done.

    D4RL's own files do not fit: their observations have 60 numbers where this environment's have 59.
    """
    goals = ("microwave", "kettle", "light switch", "slide cabinet")
    if kind == "mixed":
        goals = ("microwave", "kettle", "bottom burner", "light switch")
    return ReturnTask(
        f"kitchen/{kind}",
        "FrankaKitchen-v1",
        (59, 9),
        280,
        (0.0, 4.0),
        minari_id=f"D4RL/kitchen/{kind}-v2",
        settings=(("tasks_to_complete", goals),),
        keys=("observation",),
    )


def _adroit(hand: str, kind: str) -> ReturnTask:
    """With D4RL's horizons, which its scores belong to."""
    env, widths, horizon, score_range = {
        "pen": ("Pen", (45, 24), 100, (96.262799, 3076.8331)),
        "door": ("Door", (39, 28), 200, (-56.512833, 2880.5693)),
        "hammer": ("Hammer", (46, 26), 200, (-274.856578, 12794.1348)),
        "relocate": ("Relocate", (39, 30), 200, (-6.425911, 4233.8778)),
    }[hand]
    minari_id = f"D4RL/{hand}/{kind}-v2"
    return ReturnTask(f"adroit/{hand}-{kind}", f"AdroitHand{env}-v1", widths, horizon, score_range, minari_id=minari_id)


TASKS: dict[str, ReturnTask] = {
    task.name: task
    for task in [
        *(
            _gym(body, "medium" + more)
            for body in ("halfcheetah", "hopper", "walker2d")
            for more in ("", "-replay", "-expert")
        ),
        *(_kitchen(kind) for kind in ("complete", "partial", "mixed")),
        *(_adroit(hand, k) for hand in ("pen", "door", "hammer", "relocate") for k in ("human", "cloned", "expert")),
    ]
}
