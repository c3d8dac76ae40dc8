"""Universality: planted shared and private units, cliques, rotated bases, and what does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.measures import Universality, match_best, universality
from convergent.statistics import JointMoments

NAMES = ("a/conv", "b/conv", "c/conv", "d/conv")


def planted(seed: int = 0, n: int = 2000) -> dict[str, np.ndarray]:
    """Units that all four nets have, that a and b share, and that c and d do; own ones; and a dead one."""
    rng = np.random.default_rng(seed)
    common, first, second = (rng.normal(size=(n, k)) for k in (4, 3, 3))
    nets = {}
    for name in NAMES:
        noise, own = rng.normal(size=(n, 7)), rng.normal(size=(n, 5))
        half = first if name in NAMES[:2] else second
        shared = np.concatenate([common, half], axis=1) + 0.3 * noise
        nets[name] = np.concatenate([shared, own, np.full((n, 1), 2.0)], axis=1)
    return nets


def of(nets: dict[str, np.ndarray], **options: object) -> Universality:
    return universality(JointMoments.from_samples(nets), **options)  # type: ignore[arg-type]


def test_planted_units_are_found_by_all_by_some_and_by_none() -> None:
    found = of(planted())
    expected = (["shared"] * 4 + ["partly"] * 3 + ["unique"] * 5 + ["dead"]) * 4
    assert found.verdict.tolist() == expected
    assert found.n_nets.tolist() == ([4] * 4 + [2] * 3 + [1] * 5 + [0]) * 4
    assert found.cliques.tolist() == [[unit] * 4 for unit in range(4)]
    assert found.in_clique.tolist() == ([True] * 4 + [False] * 9) * 4
    counts = found.counts()
    assert counts["n_nets"].tolist() == [1, 2, 3, 4]
    assert counts["verdict"].tolist() == ["unique", "partly", "partly", "shared"]
    assert counts["n_units"].tolist() == [20, 12, 0, 16]
    np.testing.assert_allclose(counts["share"], np.array([20, 12, 0, 16]) / 48)
    assert counts["n_dead"].tolist() == [4] * 4
    assert counts["p"].iloc[3] == 1 / 21
    assert counts["excess"].iloc[3] > 10


def test_rotated_copies_are_counted_as_in_a_rotated_basis() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 30))
    turned = {name: x @ np.linalg.qr(rng.normal(size=(30, 30)))[0] for name in NAMES}
    native = {name: x[:, rng.permutation(30)] for name in NAMES}
    at_chance, privileged = of(turned, threshold=0.45), of(native, threshold=0.45)
    counts = at_chance.counts()
    spread = np.maximum(at_chance.rotated.n_units.std(axis=0), 1)
    assert (np.abs(counts["excess"]) < 4 * spread).all()
    assert counts["n_units"].iloc[1:3].sum() > 10  # something is found, and as much as in any basis
    assert (counts["p"] > 0.05).all()
    assert privileged.counts()["n_units"].tolist() == [0, 0, 0, 120]
    assert (privileged.rotated.n_cliques < 5).all()
    assert len(privileged.cliques) == 30


def test_partners_are_those_of_best_matchings_and_mutual_both_ways() -> None:
    joint = JointMoments.from_samples(planted(n=60))
    found = universality(joint, n_rotations=0)
    for a, own in joint.slices.items():
        for net, b in enumerate(joint.names):
            if a == b:
                assert (found.partner[own, net] == -1).all()
                assert not found.found[own, net].any()
                continue
            there, back = match_best(joint.pair(a, b)), match_best(joint.pair(b, a))
            np.testing.assert_array_equal(found.partner[own, net], there.partner)
            np.testing.assert_array_equal(found.r[own, net], there.score)
            mutual = [p >= 0 and back.partner[p] == unit for unit, p in enumerate(there.partner)]
            assert found.mutual[own, net].tolist() == mutual
            np.testing.assert_array_equal(found.found[own, net], there.score >= 0.5)


def test_cliques_are_what_a_slow_search_finds() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 9))
    joint = JointMoments.from_samples(
        {n: x[:, :k] + 1.2 * rng.normal(size=(40, k)) for n, k in zip("abc", (9, 7, 8), strict=True)}
    )
    found = universality(joint, threshold=0.3, n_rotations=0)
    starts = [joint.slices[n].start for n in "abc"]

    def tied(i: int, u: int, j: int, v: int) -> bool:
        one, other = starts[i] + u, starts[j] + v
        return bool(found.partner[one, j] == v and found.partner[other, i] == u and found.r[one, j] >= 0.3)

    slow = [
        [u, v, w]
        for u in range(9)
        for v in range(7)
        for w in range(8)
        if tied(0, u, 1, v) and tied(1, v, 2, w) and tied(2, w, 0, u)
    ]
    assert found.cliques.tolist() == slow
    assert 1 <= len(slow) < 7
    pairs = sum(tied(0, u, 1, v) for u in range(9) for v in range(7))
    assert pairs > len(slow)  # there are mutual pairs that no third unit completes


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_scale_shift_and_order_of_units_and_nets_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nets = planted(seed, n=50)
    found = of(nets, n_rotations=0)
    order = {name: rng.permutation(x.shape[1]) for name, x in nets.items()}
    names = [str(name) for name in rng.permutation(NAMES)]
    again = of({n: nets[n][:, order[n]] * rng.uniform(0.1, 9, size=13) + 5 for n in names}, n_rotations=0)
    rows = np.concatenate([13 * NAMES.index(n) + order[n] for n in names])
    columns = [NAMES.index(n) for n in names]
    for name in ("r", "mutual", "found"):
        expected = getattr(found, name)[rows][:, columns]
        np.testing.assert_allclose(getattr(again, name), expected, atol=1e-9)
    assert again.verdict.tolist() == found.verdict[rows].tolist()
    assert again.in_clique.tolist() == found.in_clique[rows].tolist()
    assert again.counts()["n_units"].tolist() == found.counts()["n_units"].tolist()


def test_thresholds_by_pair_and_masks() -> None:
    nets = planted()
    pairs = [(a, b) for a in NAMES for b in NAMES if a != b]
    strict = of(nets, threshold={(a, b): 2.0 if b == "d/conv" else 0.5 for a, b in pairs}, n_rotations=3)
    assert not strict.found[:, 3].any()
    assert strict.counts()["n_units"].tolist()[3] == 4  # those of d alone, which reach all others
    assert len(strict.cliques) == 0
    assert (strict.rotated.n_cliques == 0).all()
    masks = {pair: np.arange(13) != 0 for pair in pairs}
    masked = of(nets, significant=masks, n_rotations=0)
    assert masked.verdict[::13].tolist() == ["unique"] * 4
    assert masked.cliques.tolist() == [[unit] * 4 for unit in range(1, 4)]
    with pytest.raises(
        UnknownNameError, match=r"found in 'b/conv', by a threshold.*Found none for this one among 1"
    ):
        of(nets, threshold={("b/conv", "a/conv"): 0.5})
    with pytest.raises(UnknownNameError, match=r"by a mask for each ordered pair"):
        of(nets, significant={})
    with pytest.raises(
        MismatchError, match=r"unit of 'a/conv' whether its partner in 'b/conv'.*Found 12 values for 13"
    ):
        of(nets, significant=masks | {("a/conv", "b/conv"): np.ones(12, dtype=bool)})


def test_rotations_are_those_of_the_samples_themselves() -> None:
    """From the covariance alone, as if the standardised living samples had been turned."""
    from convergent.measures.partners_everywhere import rotated
    from convergent.solvers.haar import haar

    nets = {"a/c": planted()["a/conv"] * 7, "b/c": planted()["b/conv"]}
    joint = JointMoments.from_samples(nets)
    turned = rotated(joint.correlation(), joint, np.random.default_rng(9))
    rng = np.random.default_rng(9)
    samples = [
        ((x - x.mean(axis=0)) / x.std(axis=0)) @ haar(12, rng).T for x in (v[:, :12] for v in nets.values())
    ]
    living = np.flatnonzero(joint.alive)
    np.testing.assert_allclose(
        turned[np.ix_(living, living)], np.corrcoef(np.concatenate(samples, axis=1), rowvar=False), atol=1e-9
    )
    assert (turned[12] == 0).all()


def test_a_seed_gives_the_same_draws_and_none_gives_none() -> None:
    nets = planted(n=100)
    np.testing.assert_array_equal(of(nets, seed=4).rotated.n_units, of(nets, seed=4).rotated.n_units)
    assert (of(nets, seed=4).rotated.n_units != of(nets, seed=5).rotated.n_units).any()
    assert (of(nets).rotated.n_units.sum(axis=1) == 48).all()
    counts = of(nets, n_rotations=0).counts()
    assert counts[["rotated", "excess", "p"]].isna().all(axis=None)


def test_tables() -> None:
    found = of(planted(), n_rotations=0)
    table, partners = found.table(), found.partner_table()
    assert list(table) == [
        "layer", "unit", "n_partners", "n_mutual", "in_clique", "mean_r", "weakest_r", "verdict",
    ]  # fmt: skip
    assert table["layer"].tolist() == [name for name in NAMES for _ in range(13)]
    assert table["n_partners"].tolist() == ([3] * 4 + [1] * 3 + [0] * 6) * 4
    assert table["n_mutual"].tolist() == table["n_partners"].tolist()
    assert table["mean_r"].isna().tolist() == (table["verdict"] == "dead").tolist()
    assert (table["weakest_r"].dropna() <= table["mean_r"].dropna()).all()
    assert len(partners) == 4 * 13 * 3
    assert (partners["layer"] != partners["other"]).all()
    row = partners[(partners["layer"] == "b/conv") & (partners["unit"] == 4) & (partners["other"] == "a/conv")]
    assert row[["partner", "mutual", "found"]].to_numpy().tolist() == [[4, True, True]]
    with pytest.raises(ValueError, match="read-only"):
        found.partner[0] = 0


def test_a_dead_net_finds_nothing_and_is_not_found() -> None:
    x = planted()["a/conv"]
    found = of({"a/conv": x, "b/conv": x, "c/conv": np.ones((2000, 2))}, n_rotations=2)
    assert found.verdict.tolist() == (["partly"] * 12 + ["dead"]) * 2 + ["dead"] * 2
    assert len(found.cliques) == 0
    nothing = of({"a/conv": np.ones((9, 2)), "b/conv": np.ones((9, 2))}, n_rotations=1)
    assert nothing.counts()["share"].isna().all()
    assert nothing.table()["verdict"].tolist() == ["dead"] * 4


def test_what_was_asked_is_possible() -> None:
    nets = planted(n=20)
    with pytest.raises(InvalidArgumentError, match=r"units of several nets\. Found one layer, 'a/conv'\. Join"):
        of({"a/conv": nets["a/conv"]})
    with pytest.raises(InvalidArgumentError, match=r"Found n_rotations=-1\. Give 0 or more"):
        of(nets, n_rotations=-1)
    with pytest.raises(InvalidArgumentError, match=r"A threshold is the correlation.*Found NaN"):
        of(nets, threshold=float("nan"))
