"""Controllers that walk from waypoint to waypoint in Gymnasium-Robotics mazes; NumPy only, so that workers start fast.

They have no memory: an action depends on the observation and the way to the waypoint alone, and the ant faces the same
way wherever it walks. What is made by a controller with hidden state, such as which side of the body leads, looks to
whoever clones it like several controllers that take turns (`docs/ant_data.md`).

The ant has four equal legs at 90 degrees and a left-right mirror symmetry; `SYMMETRIES` are the eight ways to see the
same walk, with the legs numbered to match.
"""

import functools
import pathlib
from typing import NamedTuple

import numpy as np

ANT_WEIGHTS = pathlib.Path(__file__).with_name("ant_controller.npz")
D4RL_ANT_WEIGHTS = pathlib.Path(__file__).with_name("d4rl_ant_controller.npz")  # of the ant with a fifth of the torque
NUM_FEATURES = 30
NUM_ACTIONS = 8
ANT_NOISE = 0.2  # standard deviation of the Gaussian action noise in generated data
POINT_NOISE = 0.5

_ANKLE_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])  # legs 2 and 3 bend down at negative angles
_HIP_LIMIT, _ANKLE_CENTRE, _ANKLE_LIMIT = 0.5, 0.87, 0.35  # radians

# Columns of the observation: hip angles, ankle angles, hip velocities, ankle velocities, four legs each.
_LEG_COLUMNS = np.concatenate([start + 2 * np.arange(4) for start in (5, 6, 19, 20)])
_LEG_SIGNS = np.tile(np.concatenate([np.ones(4), _ANKLE_SIGNS]), 2)
_LEG_CENTRES = np.repeat([0.0, _ANKLE_CENTRE, 0.0, 0.0], 4)
_LEG_SCALES = np.repeat([1 / _HIP_LIMIT, 1 / _ANKLE_LIMIT, 0.1, 0.1], 4)

# Actuators alternate hip and ankle over legs 4, 1, 2, 3; the controller's actions are four hips, then four ankles.
_ACTUATOR_COLUMNS = np.stack([[3, 0, 1, 2], [7, 4, 5, 6]], axis=-1).reshape(8)
_ACTUATOR_SIGNS = np.concatenate([np.ones(4), _ANKLE_SIGNS])[_ACTUATOR_COLUMNS]


class Symmetry(NamedTuple):
    """Another view of the same walk: seen = features[..., feature_columns] * feature_signs, and so of actions."""

    feature_columns: np.ndarray  # (30,) int
    feature_signs: np.ndarray  # (30,) +1 or -1
    action_columns: np.ndarray  # (8,) int
    action_signs: np.ndarray  # (8,) +1 or -1

    def then(self, other: "Symmetry") -> "Symmetry":
        """This view, seen in another."""
        return Symmetry(
            self.feature_columns[other.feature_columns],
            self.feature_signs[other.feature_columns] * other.feature_signs,
            self.action_columns[other.action_columns],
            self.action_signs[other.action_columns] * other.action_signs,
        )


def _symmetry(vector_columns, vector_signs, turn, legs, hip_sign) -> Symmetry:
    """From what becomes of the 10 features of the torso, of the last 4, of the legs' numbers and of the hips."""
    legs, hips_and_ankles = np.array(legs), np.repeat([hip_sign, 1.0], 4)
    last_columns, last_signs = turn
    return Symmetry(
        np.concatenate([vector_columns, *(10 + 4 * group + legs for group in range(4)), last_columns]),
        np.concatenate([vector_signs, np.tile(hips_and_ankles, 2), last_signs]),
        np.concatenate([legs, 4 + legs]),
        hips_and_ankles,
    )


IDENTITY = _symmetry(range(10), np.ones(10), (range(26, 30), np.ones(4)), [0, 1, 2, 3], 1.0)
QUARTER_TURN = _symmetry(
    [0, 2, 1, 3, 5, 4, 6, 8, 7, 9],
    [1, 1, -1, 1, 1, -1, 1, 1, -1, 1],
    ([27, 26, 28, 29], [1, -1, 1, 1]),
    [1, 2, 3, 0],
    1.0,
)
MIRROR = _symmetry(range(10), [1, 1, -1, 1, 1, -1, 1, -1, 1, -1], (range(26, 30), [1, -1, -1, 1]), [3, 2, 1, 0], -1.0)
_TURNS = [functools.reduce(Symmetry.then, [QUARTER_TURN] * count, IDENTITY) for count in range(4)]
SYMMETRIES = (*_TURNS, *(turn.then(MIRROR) for turn in _TURNS))


def torso_yaw(observation: np.ndarray) -> np.ndarray:
    """Twist of the torso about the vertical (...), radians, from AntMaze observations (..., 27).

    The twist, unlike the heading of one body axis, commutes exactly with quarter turns of a tilted body.
    """
    return 2.0 * np.arctan2(observation[..., 4], observation[..., 1])


def is_upright(observation: np.ndarray) -> np.ndarray:
    """Whether the torso's own z axis points up (...), bool, from AntMaze observations (..., 27)."""
    return observation[..., 2] ** 2 + observation[..., 3] ** 2 < 0.5


def ant_features(observation: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """What the ant policy sees, the same wherever in the world it is: (..., 30) float32 in -5..5.

    Order: height, gravity 3, linear velocity 3, angular velocity 3, hips 4, ankles 4, hip velocities 4, ankle
    velocities 4, cosine and sine of the angle to the waypoint, sine and cosine of the torso's yaw. All but the last two
    are in the torso's own frame.

    Args:
        observation: (..., 27) AntMaze `observation`: height, quaternion, joints, then the 14 velocities.
        offset: (..., 2) from the torso to the waypoint, metres; its length does not matter.
    """
    yaw = torso_yaw(observation)
    w, x, y, z = (observation[..., i] for i in range(1, 5))
    # Angular velocity and gravity are in the torso's own axes; the linear velocity, a complex number, in the world's.
    velocity = np.exp(-1j * yaw) * (observation[..., 13] + 1j * observation[..., 14])
    angle = np.arctan2(offset[..., 1], offset[..., 0]) - yaw

    features = np.empty(observation.shape[:-1] + (NUM_FEATURES,), np.float32)
    features[..., 0] = 4.0 * (observation[..., 0] - 0.55)
    features[..., 1] = 2.0 * (w * y - x * z)
    features[..., 2] = -2.0 * (y * z + w * x)
    features[..., 3] = 2.0 * (x * x + y * y) - 1.0
    features[..., 4] = 0.5 * velocity.real
    features[..., 5] = 0.5 * velocity.imag
    features[..., 6] = 0.5 * observation[..., 15]
    features[..., 7:10] = 0.25 * observation[..., 16:19]
    features[..., 10:26] = (observation[..., _LEG_COLUMNS] * _LEG_SIGNS - _LEG_CENTRES) * _LEG_SCALES
    features[..., 26] = np.cos(angle)
    features[..., 27] = np.sin(angle)
    features[..., 28] = np.sin(yaw)
    features[..., 29] = np.cos(yaw)
    return np.clip(features, -5.0, 5.0, out=features)


def to_actuators(action: np.ndarray) -> np.ndarray:
    """Torques of the environment's actuators (..., 8) from an action (..., 8) of four hips, then four ankles."""
    return action[..., _ACTUATOR_COLUMNS] * _ACTUATOR_SIGNS


def mlp(weights: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """Two hidden ReLU layers: inputs (..., I) through w0 (I, H), b0 (H,), w1 (H, H), ... to outputs (..., O)."""
    hidden = np.maximum(inputs @ weights["w0"] + weights["b0"], 0.0)
    hidden = np.maximum(hidden @ weights["w1"] + weights["b1"], 0.0)
    return hidden @ weights["w2"] + weights["b2"]


@functools.cache
def load_ant_weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The policy's layers as float32 arrays, read once a process.

    Raises:
        FileNotFoundError: no such file.
    """
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


class AntController:
    """Walks the ant towards a waypoint."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights = weights

    def __call__(self, observation: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Action (8,) in -1..1 from `observation` (27,) and the vector (2,) to the waypoint in metres."""
        return to_actuators(np.tanh(mlp(self._weights, ant_features(observation, offset))))


class PointController:
    """Proportional-derivative control of the point mass."""

    def __call__(self, observation: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Action (2,) in -1..1 from `observation` (4,), positions then velocities, and the vector (2,) ahead."""
        return np.clip(10.0 * offset - observation[2:4], -1.0, 1.0)
