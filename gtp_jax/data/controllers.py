"""Controllers that walk from waypoint to waypoint in Gymnasium-Robotics mazes; NumPy only, so that workers start fast.

The ant has four equal legs at 90 degrees and a left-right mirror symmetry, and a policy need not learn what symmetry
gives for free. Everything is therefore seen in a "virtual body frame": the torso's yaw plus `quadrant` quarter turns,
with the legs relabelled to match, where the waypoint always lies ahead.
"""

import functools
import pathlib

import numpy as np

ANT_WEIGHTS = pathlib.Path(__file__).with_name("ant_controller.npz")
D4RL_ANT_WEIGHTS = pathlib.Path(__file__).with_name("d4rl_ant_controller.npz")  # of the ant with a fifth of the torque
NUM_FEATURES = 28
NUM_ACTIONS = 8
ANT_NOISE = 0.2  # standard deviation of the Gaussian action noise in generated data
POINT_NOISE = 0.5

_LEGS = np.arange(4)
_SEEN_LEGS = (_LEGS + _LEGS[:, None]) % 4  # [quadrant, virtual leg] -> leg
_ANKLE_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])  # legs 2 and 3 bend down at negative angles
_HIP_LIMIT, _ANKLE_CENTRE, _ANKLE_LIMIT = 0.5, 0.87, 0.35  # radians

# Columns of the observation, in virtual order: hip angles, ankle angles, hip velocities, ankle velocities.
_LEG_COLUMNS = np.concatenate([start + 2 * _SEEN_LEGS for start in (5, 6, 19, 20)], axis=1)
_LEG_SIGNS = np.tile(np.concatenate([np.ones((4, 4)), _ANKLE_SIGNS[_SEEN_LEGS]], axis=1), 2)
_LEG_CENTRES = np.repeat([0.0, _ANKLE_CENTRE, 0.0, 0.0], 4)
_LEG_SCALES = np.repeat([1 / _HIP_LIMIT, 1 / _ANKLE_LIMIT, 0.1, 0.1], 4)

# Actuators alternate hip and ankle over legs 4, 1, 2, 3; virtual actions are four hips, then four ankles.
_ACTUATOR_LEGS = np.array([3, 0, 1, 2])
_ACTUATOR_COLUMNS = np.stack(
    [(_ACTUATOR_LEGS - _LEGS[:, None]) % 4, (_ACTUATOR_LEGS - _LEGS[:, None]) % 4 + 4], axis=-1
).reshape(4, 8)
_ACTUATOR_SIGNS = np.stack([np.ones(4), _ANKLE_SIGNS[_ACTUATOR_LEGS]], axis=-1).reshape(8)

# Left-right mirror image as (columns, signs): mirrored = x[..., columns] * signs. Legs 1 and 4, 2 and 3 trade places.
_SWAP = np.array([3, 2, 1, 0])
FEATURE_MIRROR = (
    np.concatenate([np.arange(10), *(10 + 4 * group + _SWAP for group in range(4)), [26, 27]]),
    np.concatenate([[1, 1, -1, 1, 1, -1, 1, -1, 1, -1], np.repeat([-1, 1, -1, 1], 4), [1, -1]]).astype(np.float32),
)
ACTION_MIRROR = (np.concatenate([_SWAP, 4 + _SWAP]), np.repeat([-1, 1], 4).astype(np.float32))


def torso_yaw(observation: np.ndarray) -> np.ndarray:
    """Twist of the torso about the vertical (...), radians, from AntMaze observations (..., 27).

    The twist, unlike the heading of one body axis, commutes exactly with quarter turns of a tilted body.
    """
    return 2.0 * np.arctan2(observation[..., 4], observation[..., 1])


def is_upright(observation: np.ndarray) -> np.ndarray:
    """Whether the torso's own z axis points up (...), bool, from AntMaze observations (..., 27)."""
    return observation[..., 2] ** 2 + observation[..., 3] ** 2 < 0.5


def choose_quadrant(observation: np.ndarray, offset: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
    """Quarter turns (...), int in 0..3, from the torso's yaw to the side of the body that leads.

    Args:
        observation: (..., 27) AntMaze `observation`.
        offset: (..., 2) from the torso to the waypoint, metres; its length does not matter.
        previous: (...) the quadrant of the step before, kept while the waypoint is within 60 degrees of it; otherwise,
            or if there was none, the waypoint comes within 45 degrees.
    """
    bearing = (np.arctan2(offset[..., 1], offset[..., 0]) - torso_yaw(observation)) * (2.0 / np.pi)
    nearest = np.round(bearing).astype(int) % 4
    if previous is None:
        return nearest
    deviation = np.abs((bearing - previous + 2.0) % 4.0 - 2.0)
    return np.where(deviation <= 60.0 / 90.0, previous, nearest)


def ant_features(observation: np.ndarray, offset: np.ndarray, quadrant: np.ndarray) -> np.ndarray:
    """What the ant policy sees, the same whichever way the world is turned: (..., 28) float32 in -5..5.

    Order: height, gravity 3, linear velocity 3, angular velocity 3, hips 4, ankles 4, hip velocities 4, ankle
    velocities 4, cosine and sine of the angle to the waypoint.

    Args:
        observation: (..., 27) AntMaze `observation`: height, quaternion, joints, then the 14 velocities.
        offset: (..., 2) from the torso to the waypoint, metres; its length does not matter.
        quadrant: (...) int in 0..3, from `choose_quadrant`.
    """
    quarter = np.asarray(quadrant) * (np.pi / 2.0)
    yaw = torso_yaw(observation) + quarter
    w, x, y, z = (observation[..., i] for i in range(1, 5))
    # Horizontal vectors are complex numbers. Angular velocity and gravity are in the torso's own axes, the linear
    # velocity is in the world's.
    from_torso, from_world = np.exp(-1j * quarter), np.exp(-1j * yaw)
    gravity = from_torso * (2.0 * (w * y - x * z) - 2j * (y * z + w * x))
    velocity = from_world * (observation[..., 13] + 1j * observation[..., 14])
    spin = from_torso * (observation[..., 16] + 1j * observation[..., 17])
    angle = np.arctan2(offset[..., 1], offset[..., 0]) - yaw
    legs = np.take_along_axis(observation, _LEG_COLUMNS[quadrant], axis=-1) * _LEG_SIGNS[quadrant]

    features = np.empty(observation.shape[:-1] + (NUM_FEATURES,), np.float32)
    features[..., 0] = 4.0 * (observation[..., 0] - 0.55)
    features[..., 1] = gravity.real
    features[..., 2] = gravity.imag
    features[..., 3] = 2.0 * (x * x + y * y) - 1.0
    features[..., 4] = 0.5 * velocity.real
    features[..., 5] = 0.5 * velocity.imag
    features[..., 6] = 0.5 * observation[..., 15]
    features[..., 7] = 0.25 * spin.real
    features[..., 8] = 0.25 * spin.imag
    features[..., 9] = 0.25 * observation[..., 18]
    features[..., 10:26] = (legs - _LEG_CENTRES) * _LEG_SCALES
    features[..., 26] = np.cos(angle)
    features[..., 27] = np.sin(angle)
    return np.clip(features, -5.0, 5.0, out=features)


def to_actuators(action: np.ndarray, quadrant: np.ndarray) -> np.ndarray:
    """Torques of the environment's actuators (..., 8) from an action (..., 8) in the virtual body frame."""
    return np.take_along_axis(action, _ACTUATOR_COLUMNS[quadrant], axis=-1) * _ACTUATOR_SIGNS


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
    """Walks the ant towards a waypoint. Its only state is the side of the body that leads, for hysteresis."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights = weights
        self._quadrant = None

    def reset(self) -> None:
        """Forgets the episode before."""
        self._quadrant = None

    def __call__(self, observation: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Action (8,) in -1..1 from `observation` (27,) and the vector (2,) to the waypoint in metres."""
        self._quadrant = choose_quadrant(observation, offset, self._quadrant)
        action = np.tanh(mlp(self._weights, ant_features(observation, offset, self._quadrant)))
        return to_actuators(action, self._quadrant)


class PointController:
    """Proportional-derivative control of the point mass; it has no state."""

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, observation: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Action (2,) in -1..1 from `observation` (4,), positions then velocities, and the vector (2,) ahead."""
        return np.clip(10.0 * offset - observation[2:4], -1.0, 1.0)
