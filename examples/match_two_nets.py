"""Train two small nets from different seeds and see which units they share. About half a minute on two cores."""

from pathlib import Path

import convergent as cv
from convergent.data import PhotoDigitsTraining


def main() -> None:
    """Train, run both nets on the same inputs once, match, and score on inputs that had no say in the matching."""
    recipes = {name: cv.Recipe(seed=seed, n_steps=200) for seed, name in enumerate("ab")}
    trained = cv.train_many(recipes, Path("nets"), data=PhotoDigitsTraining.load())
    nets = {name: one.net for name, one in trained.items()}

    source = cv.Lockstep(nets, cv.PhotoDigits.probe(), layers=["relu*"], batch_size=256)
    blocks = cv.collect(source, {"moments": cv.BlockedPlan(cv.MomentsPlan())})["moments"]
    moments = blocks.total

    print("layer   units  best  held out  one-to-one  same partner")
    for layer in dict.fromkeys(units.ref.layer for units in moments.layers):
        a, b = f"a/{layer}", f"b/{layer}"
        pair = moments.pair(a, b)
        best, one_to_one = cv.match_best(pair), cv.match_one_to_one(pair)
        held_out = cv.held_out_matching(cv.BlockedPair.of(blocks, a, b)).layer
        print(
            f"{layer:<7} {len(best.partner):>5}  {best.mean:.2f}  {held_out.value:>8.2f}  "
            f"{one_to_one.mean:>10.2f}  {cv.overlap(best, one_to_one):>12.0%}"
        )


if __name__ == "__main__":
    main()
