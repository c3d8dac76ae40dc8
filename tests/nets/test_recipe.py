"""Recipes: what they refuse, and the schedule they keep."""

from dataclasses import fields, replace
from itertools import pairwise

import pytest

from convergent.errors import InvalidArgumentError
from convergent.nets import Recipe


def test_every_choice_changes_the_fingerprint() -> None:
    recipe = Recipe()
    other = {
        "seed": 1,
        "net": "caffenet",
        "kwargs": {"n_classes": 3},
        "data": "other",
        "n_steps": 7,
        "batch_size": 7,
        "learning_rate": 0.5,
        "warmup": 0.5,
        "weight_decay": 0.25,
        "beta1": 0.5,
        "beta2": 0.5,
        "clip": 0.5,
        "n_threads": 2,
    }
    assert set(other) == {field.name for field in fields(Recipe)}
    assert [name for name, value in other.items() if getattr(recipe, name) == value] == []
    prints = {replace(recipe, **{name: value}).fingerprint for name, value in other.items()}  # type: ignore[arg-type]
    assert len(prints | {recipe.fingerprint}) == len(other) + 1
    assert Recipe().fingerprint == recipe.fingerprint


def test_the_rate_rises_evenly_then_falls_to_nothing() -> None:
    recipe = Recipe(n_steps=100, learning_rate=0.4, warmup=0.2)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:20] == pytest.approx([0.02 * (step + 1) for step in range(20)])
    assert rates[59] == pytest.approx(0.2)  # half-way down the cosine
    assert all(late < early for early, late in pairwise(rates[19:]))
    assert rates[99] == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_steps", 0),
        ("batch_size", -1),
        ("n_threads", 0),
        ("learning_rate", 0.0),
        ("clip", float("nan")),
        ("warmup", 0.0),
        ("warmup", 1.0),
        ("seed", -1),
        ("seed", 2**31),
    ],
)
def test_an_impossible_choice_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"asked for with {name}={value}.*above 0.*Correct these"):
        Recipe(**{name: value})  # type: ignore[arg-type]
