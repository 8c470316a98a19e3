"""Train the weights of chalicelib/tasks/examples/classify_image.json: `make train`.

Data: scikit-learn's digits, 1,797 pictures of 8 x 8 shades by 13 people, from the test part of
"Optical Recognition of Handwritten Digits" (https://archive.ics.uci.edu/dataset/80). A quarter is
held out before anything else and written to tests/tasks/examples/digits_held_out.json; a test
checks the accuracy of the weights on it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from chalicelib.tasks.examples import classify_image
from chalicelib.tasks.examples.classify_image import Grid, features

ROOT = Path(__file__).parents[1]
WEIGHTS = Path(classify_image.__file__).with_suffix(".json")
HELD_OUT = ROOT / "tests" / "tasks" / "examples" / "digits_held_out.json"
SEED = 20
NEURONS = 48
MARGIN = 2
COPIES = 8
ALPHABET = "0123456789abcdefg"  # one character per shade of the data set: 0 to 16


def main() -> None:
    digits = load_digits()
    training, held_out, training_labels, held_out_labels = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    network = MLPClassifier((NEURONS,), alpha=0.3, max_iter=400, random_state=SEED)
    network.fit(*_augment(training, training_labels))
    WEIGHTS.write_text(_json(network))
    examples = list(zip(held_out, held_out_labels, strict=True))
    rows = [[_text(image), int(label)] for image, label in examples]
    HELD_OUT.write_text(json.dumps(rows, indent=0, separators=(",", ":")) + "\n")
    correct = [
        classify_image.read(page(image.tolist())).digit == label for image, label in examples
    ]
    accuracy = sum(correct) / len(correct)
    print(f"{sum(correct)} of {len(correct)} held-out digits are correct: {accuracy:.1%}")  # noqa: T201


def page(image: list[list[float]]) -> Grid:
    """Convert a picture of the data set (0 to 16) to a page of grey values with a margin."""
    empty = [0.0] * (len(image[0]) + 2 * MARGIN)
    rows = [[0.0] * MARGIN + row + [0.0] * MARGIN for row in image]
    return [
        [shade * 255 / 16 for shade in row] for row in [empty] * MARGIN + rows + [empty] * MARGIN
    ]


def _augment(images: Any, labels: Any) -> tuple[Any, Any]:
    """Return each picture and slightly distorted copies of it, since pens and cameras differ."""
    chance = random.Random(SEED)
    pictures = []
    answers = []
    for image, label in zip(images, labels, strict=True):
        for copy in range(COPIES):
            flat = numpy.array(page(image.tolist()))
            pictures.append(features((_distort(flat, chance) if copy else flat).tolist()))
            answers.append(label)
    return numpy.array(pictures), numpy.array(answers)


def _distort(image: Any, chance: random.Random) -> Any:
    """Return the picture under a small affine map, at up to 4 times its size (bilinear)."""
    side = len(image)
    size = side * chance.choice((1, 2, 4))
    middle = side / 2
    a = chance.gauss(1, 0.08)
    b = chance.gauss(0, 0.12)
    c = chance.gauss(0, 0.08)
    d = chance.gauss(1, 0.08)
    y, x = (numpy.mgrid[0:size, 0:size] + 0.5) * side / size - middle
    down = numpy.clip(c * x + d * y + middle - 0.5, 0, side - 1.001)
    across = numpy.clip(a * x + b * y + middle - 0.5, 0, side - 1.001)
    top = down.astype(int)
    left = across.astype(int)
    fy = down - top
    fx = across - left
    upper = image[top, left] * (1 - fx) + image[top, left + 1] * fx
    lower = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def _text(image: Any) -> str:
    return "".join(ALPHABET[int(shade)] for shade in image.flatten())


def _json(network: MLPClassifier) -> str:
    layers = [
        [
            [[round(float(weight), 3) for weight in row] for row in matrix.T],
            [round(float(b), 3) for b in bias],
        ]
        for matrix, bias in zip(network.coefs_, network.intercepts_, strict=True)
    ]
    return (
        json.dumps({"made_by": "dev/train_digits.py", "layers": layers}, separators=(",", ":"))
        + "\n"
    )


if __name__ == "__main__":
    main()
