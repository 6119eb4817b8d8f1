"""Data and model of the examples: digits of 8 x 8 points, drawn here, and a softmax or small network in numpy."""

from __future__ import annotations

import numpy as np

_FONT = """
.###. ..#.. .###. ####. ...#. ##### .###. ##### .###. .###.
#...# .##.. #...# ....# ..##. #.... #.... ....# #...# #...#
#...# ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#...# ..#.. ...#. .###. #..#. ....# ####. ..#.. .###. .####
#...# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....#
#...# ..#.. .#... ....# ...#. #...# #...# ..#.. #...# ....#
.###. .###. ##### ####. ...#. .###. .###. ..#.. .###. .###.
"""
_GLYPHS = np.array([[[c == "#" for c in cell] for cell in row.split()] for row in _FONT.split("\n") if row], np.float32).swapaxes(0, 1)

Model = dict[str, np.ndarray]


def data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n images (n, 64) and their labels: a digit somewhere in the square, in noise."""
    coin = np.random.default_rng(seed)
    labels = coin.integers(0, 10, n)
    images = coin.normal(0, 0.3, (n, 8, 8)).astype(np.float32)
    for i, label in enumerate(labels):
        y, x = coin.integers(0, 2), coin.integers(0, 4)
        images[i, y : y + 7, x : x + 5] += _GLYPHS[label]
    return images.reshape(n, 64), labels


def model(hidden: int = 0, seed: int = 0) -> Model:
    """A softmax (650 values), or with a hidden layer 75 * hidden + 10."""
    if hidden == 0:
        return {"w": np.zeros((64, 10), np.float32), "b": np.zeros(10, np.float32)}
    coin = np.random.default_rng(seed)
    first = coin.normal(0, 64**-0.5, (64, hidden)).astype(np.float32)
    second = coin.normal(0, hidden**-0.5, (hidden, 10)).astype(np.float32)
    return {"w1": first, "b1": np.zeros(hidden, np.float32), "w": second, "b": np.zeros(10, np.float32)}


def _forward(m: Model, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h = np.maximum(x @ m["w1"] + m["b1"], 0) if "w1" in m else x
    z = h @ m["w"] + m["b"]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return h, p / p.sum(axis=1, keepdims=True)


def train(m: Model, x: np.ndarray, labels: np.ndarray, steps: int = 10, rate: float = 0.5) -> Model:
    """The model after some steps of gradient descent."""
    m = {k: v.copy() for k, v in m.items()}
    for _ in range(steps):
        h, p = _forward(m, x)
        p[np.arange(len(labels)), labels] -= 1
        p /= len(labels)
        if "w1" in m:
            back = (p @ m["w"].T) * (h > 0)
            m["w1"] -= rate * (x.T @ back)
            m["b1"] -= rate * back.sum(axis=0)
        m["w"] -= rate * (h.T @ p)
        m["b"] -= rate * p.sum(axis=0)
    return m


def accuracy(m: Model, x: np.ndarray, labels: np.ndarray) -> float:
    """The share of images that the model reads right."""
    return float((_forward(m, x)[1].argmax(axis=1) == labels).mean())
