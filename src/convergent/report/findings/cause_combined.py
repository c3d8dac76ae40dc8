"""What a study of causes found of nets merged, zipped and combined."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..drawing import Drawing
from ..wording import percent
from .cause_words import cells, signed
from .finding import Section, Table
from .folder import FamiliesRun
from .merging_figures import COMBINED, LOWEST_GAIN, WAYS, against_costs, barriers

_COSTS = ("accuracy", "loss", "n_parameters", "n_multiply_adds")
_GAIN = ("accuracy_gain", "accuracy_gain_low", "accuracy_gain_high")


def merging_section(run: FamiliesRun) -> Iterator[Section]:
    """The barrier between two nets, and nets zipped at several widths.

    Args:
        run: the folder of a study that merged or zipped.
    """
    if "merging" in run.study["experiments"] and len(run.table("merging")):
        yield _barriers(run)
    if "zipping" in run.study["experiments"] and len(run.table("zipped")):
        yield _zipped(run)


def _barriers(run: FamiliesRun) -> Section:
    means = run.table("merging_means", "family", "matched", "mended", "weight", "loss", "accuracy", "barrier")
    ends = means[means["weight"] == 0]
    rows = []
    for family, own in ends.groupby("family", sort=False):
        by = {(bool(row["matched"]), bool(row["mended"])): row for row in own.to_dict("records")}
        rows.append([str(family), *(text for way in WAYS for text in cells(by[way], "barrier"))])
    middle = means[(means["weight"] - 0.5).abs() < 0.01]
    shares = [(name, _accuracy(middle, matched=a, mended=b)) for (a, b), (name, _) in WAYS.items()]
    told = ", ".join(f"{percent(share)} {name}" for name, share in shares) if len(middle) else ""
    untouched = set(run.families) - set(ends["family"])
    said = [
        "On the straight way from the weights of one net to those of another: is there a net between them that "
        f"answers as well? In the middle, {told} (accuracy, mean over families)."
        if told
        else "",
        f"Units of {', '.join(sorted(untouched))} cannot be permuted; the log says why." if untouched else "",
    ]
    head = ("Family", *(f"{name}{more}" for name, _ in WAYS.values() for more in ("", ", 95 %")))
    return Section(
        title="Between two nets",
        said=[sentence for sentence in said if sentence],
        drawings=[
            Drawing(
                "5", "", barriers(means), f"Loss and accuracy of nets between two nets. In the middle: {told}."
            )
        ],
        table=Table(head=head, rows=rows),
        note=(
            "The barrier, in nats: the most by which the loss exceeds the straight line between the two nets. "
            "Matched: units of the second net moved to their one-to-one partners, before the ReLU. Mended: batch "
            "norms estimated anew, or, where there are none, REPAIR. Permuting units changed no answer by more "
            f"than {float(run.table('merging', 'max_change')['max_change'].max()):.0e} of the largest."
        ),
    )


def _accuracy(means: pd.DataFrame, *, matched: bool, mended: bool) -> float:
    return float(means.loc[(means["matched"] == matched) & (means["mended"] == mended), "accuracy"].mean())


def _zipped(run: FamiliesRun) -> Section:
    means = _with_times(run.table("zipped_means", "family", "width", *_GAIN, *_COSTS), run)
    head = ("Family", "Width", "Accuracy", "gained, points", "95 %", "Parameters", "Multiply-adds")
    rows = [
        [
            str(row["family"]),
            f"{row['width']:g}",
            f"{100 * row['accuracy']:.1f} %",
            *_in_points(row),
            f"{row['times_parameters']:.1f} x",
            f"{row['times_multiply_adds']:.1f} x",
        ]
        for row in means.to_dict("records")
    ]
    return Section(
        title="Shared units merged, others kept",
        said=[
            "The best matched pairs of units become one, the others stay side by side; at width 1 all are merged, "
            "at width 2 none."
        ],
        table=Table(head=head, rows=rows),
        note="Gained over the better of the two nets. Sizes are those of one net.",
    )


def combining_section(run: FamiliesRun) -> Iterator[Section]:
    """What each way of combining buys, and whose units are worth most.

    Args:
        run: the folder of a study that combined or distilled.
    """
    if not len(run.table("combining")):
        return
    means = run.table("combining_means", "family", "way", *_GAIN, *_COSTS, "loss_saved")
    means = _with_times(means[means["way"].isin(list(COMBINED))], run)
    zipped = pd.DataFrame()
    if "zipping" in run.study["experiments"] and len(run.table("zipped")):
        zipped = _with_times(run.table("zipped_means", "family", "width", *_GAIN, *_COSTS), run)
    head = (
        *("Family", "Way", "Accuracy", "gained, points", "95 %", "Loss saved", "95 %"),
        *("over random", "95 %", "Parameters", "Multiply-adds"),
    )
    rows = [
        [
            str(row["family"]),
            COMBINED[str(row["way"])][0],
            f"{100 * row['accuracy']:.1f} %",
            *_in_points(row),
            *cells(row, "loss_saved"),
            *cells(row, "over_random_loss_saved"),
            f"{row['times_parameters']:.1f} x",
            f"{row['times_multiply_adds']:.1f} x",
        ]
        for row in means.to_dict("records")
    ]
    share = f"{100 * run.study['share']:g} %"
    yield Section(
        title="Two nets combined",
        said=[
            "A linear readout is trained anew on the last of the chosen layers of one net, with units of the "
            f"other net ({share} of them) beside its own: those it has least of, units like these, those it has "
            "most of, and random ones; and, for what more inputs alone do, copies of its own units and noise.",
            *_best(means),
        ],
        drawings=[
            Drawing(
                "6", "", against_costs(means, zipped), f"Accuracy gained against cost. {' '.join(_best(means))}"
            )
        ],
        table=Table(head=head, rows=rows, n_words=2),
        note=(
            "Gained over the better of the two nets, means over pairs, 95 % intervals over nets; the net taught "
            "by two is one a family, its interval is over inputs. Over random: loss saved over a readout with as "
            "many random units of the other net, in nats. Sizes are those of one net. What loses more than "
            f"{-100 * LOWEST_GAIN:.0f} points is not drawn."
        ),
    )


def _best(means: pd.DataFrame) -> Iterator[str]:
    """The way that gains most, over families."""
    gains = means.groupby("way")[["accuracy_gain", "times_multiply_adds"]].mean().sort_values("accuracy_gain")
    if len(gains) and not gains["accuracy_gain"].isna().all():
        way = gains.index[-1]
        best = gains.iloc[-1]
        yield (
            f"Most is gained by {COMBINED[str(way)][0]}: {signed(100 * best['accuracy_gain'], digits=1)} points "
            f"at {best['times_multiply_adds']:.1f} times the multiply-adds of one net (mean over families)."
        )


def _with_times(means: pd.DataFrame, run: FamiliesRun) -> pd.DataFrame:
    """Costs in those of one net of the family."""
    nets = run.table("nets", "family", "n_parameters", "n_multiply_adds")
    one = nets.groupby("family")[["n_parameters", "n_multiply_adds"]].mean().reindex(means["family"])
    return means.assign(
        times_parameters=means["n_parameters"].to_numpy() / one["n_parameters"].to_numpy(),
        times_multiply_adds=means["n_multiply_adds"].to_numpy() / one["n_multiply_adds"].to_numpy(),
    )


def _in_points(row: Mapping[Any, Any]) -> tuple[str, str]:
    value, low, high = (signed(100 * row[name], digits=1) for name in _GAIN)
    return value, f"{low} to {high}"
