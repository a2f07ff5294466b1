"""Write the demo data sets again: `python data/rebuild.py`. What each is: README.md."""

from __future__ import annotations

import random
import string
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

HERE = Path(__file__).parent
SEED = 20260
WORDS = [
    "apple", "winter", "dragon", "monkey", "summer", "shadow", "master", "soccer", "purple",
    "coffee", "tiger", "london", "silver", "banana", "rocket", "garden", "planet", "orange",
    "secret", "flower",
]  # fmt: skip


def wine() -> pd.DataFrame:
    """178 wines, 13 chemical measures, and the cultivar (0, 1 or 2) of the grapes."""
    frame = load_wine(as_frame=True).frame
    frame = frame.rename(columns={"od280/od315_of_diluted_wines": "od280_od315"})
    return frame.rename(columns={"target": "cultivar"})


def breast_cancer() -> pd.DataFrame:
    """569 cell samples, 30 measures, and whether the mass was malignant or benign."""
    loaded = load_breast_cancer(as_frame=True)
    frame = loaded.frame.rename(columns=lambda name: name.replace(" ", "_"))
    frame["diagnosis"] = loaded.target_names[frame.pop("target")]
    return frame


def diabetes() -> pd.DataFrame:
    """442 patients, ten measures, and the progression of the disease one year later."""
    frame = load_diabetes(as_frame=True, scaled=False).frame
    return frame.rename(columns={"target": "progression"})


def digits() -> pd.DataFrame:
    """1,797 handwritten digits of 8 by 8 pixels from 0 to 16."""
    frame = load_digits(as_frame=True).frame.rename(columns={"target": "digit"})
    return frame.astype(int)


def passwords(rows: int = 1500) -> pd.DataFrame:
    """Generated, not collected: passwords and how many weeks each would hold."""
    chance = random.Random(SEED)  # noqa: S311 - made up, not kept secret
    noise = np.random.default_rng(SEED)
    made = sorted({_password(chance) for _ in range(rows * 2)})
    chance.shuffle(made)
    made = made[:rows]
    weeks = [_bits(word) / 8 for word in made] + noise.normal(0, 0.3, len(made))
    return pd.DataFrame({"password": made, "weeks": np.maximum(weeks, 0.1).round(2)})


def _password(chance: random.Random) -> str:
    word = chance.choice(WORDS)
    match chance.randrange(4):
        case 0:
            return word + str(chance.randrange(100))
        case 1:
            return word.title() + str(chance.randrange(10_000)) + chance.choice("!?#$")
        case 2:
            return word + chance.choice("-_. ") + chance.choice(WORDS)
        case _:
            alphabet = string.ascii_letters + string.digits + "!?#$%&*+-="
            return "".join(chance.choice(alphabet) for _ in range(chance.randint(5, 16)))


def _bits(password: str) -> float:
    """Entropy of a naive guesser, in bits; a word of the list counts as one of twenty."""
    rest = password.lower()
    known = 0.0
    for word in WORDS:
        if word in rest:
            rest = rest.replace(word, "", 1)
            known += np.log2(len(WORDS))
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    alphabet = sum(len(kind) for kind in kinds if set(kind) & set(password))
    alphabet += 12 if set(password) - set("".join(kinds)) else 0
    return float(known + len(rest) * np.log2(max(alphabet, 2)))


if __name__ == "__main__":
    for make in (wine, breast_cancer, diabetes, digits, passwords):
        path = HERE / f"{make.__name__}.csv"
        make().to_csv(path, index=False, lineterminator="\n")
        sys.stdout.write(f"{path.name}: {make.__doc__}\n")
