"""Li et al. (2016) beside a run of our own, and beside what follows from its own conv1 correlation matrices."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from .._typing import Array
from ..errors import DataError, InvalidArgumentError
from ..measures import (
    SparseMap,
    agglomerate_map,
    cluster_units,
    correlation,
    match_best,
    match_one_to_one,
    mended,
    overlap,
    sparse_map,
)
from ..statistics import PairMoments
from . import alts, alts_groups, published
from .claims import run_claims, run_rows
from .drawing import Drawing
from .group_figures import agglomeration_panel
from .penalty_chart import penalty_chart
from .pictures import correlation_panels
from .reproduction import Row, write_reproduction
from .run_folder import load_run

# The published pictures of within-net matrices run from black to white; black is about this correlation.
_DARKEST = -0.55
_BETWEEN, _WITHIN = "between_01", ("within0_gray01", "within1_gray01")
_FEWEST = 16  # units: the eight best and the eight worst pairs
_RELEASED_WEIGHTS = "theirs computed from the released weights"
_RELEASED = -2.6  # log10 of the lambda that the paper goes on with
_PLACE = {run.exponent: place for place, run in enumerate(published.CONV1_RUNS, start=1)}  # in the maps, after 0


def reproduce_run(run: str | Path) -> Path:
    """Set the published numbers beside those of a run, and put the claims of the paper to the test on it.

    Args:
        run: the folder that `convergent run` wrote.

    Returns:
        `reproduce.md` in that folder, beside `reproduce.json`.

    Raises:
        StudyError: if a file of the folder is missing or damaged.
        StorageError: if a file cannot be written.
    """
    found = load_run(run)
    return write_reproduction(
        found.path,
        title=f"Li et al. (2016) beside {found.name}",
        introduction=f"{' and '.join(found.first_pair)}, {found.provenance.get('n_inputs', 'unknown')} inputs. "
        "The paper compared CaffeNets trained on ImageNet; figures are in `figures/`, and on the page.",
        rows=list(run_rows(found)),
        claims=run_claims(found),
    )


def reproduce_matrices(file: str | Path, folder: str | Path) -> Path:
    """Compute from the paper's own conv1 correlations what can be computed from them, beside what it printed.

    Args:
        file: see `load_matrices`.
        folder: where `reproduce.md`, `reproduce.json` and `figures/` go.

    Returns:
        `reproduce.md`.

    Raises:
        DataError: if the file is missing, damaged or lacks a matrix.
        StorageError: if a file cannot be written.

    Cost: about 5 s, half of it the paper's optimiser.
    """
    folder = Path(folder)
    pair, change = load_matrices(Path(file))
    maps = _maps(pair)
    for drawing in _matrix_figures(pair, maps):
        drawing.write(folder / "figures")
    return write_reproduction(
        folder,
        title="Li et al. (2016), from its own conv1 correlations",
        introduction="Net1 and Net2 of the paper. Their correlations were read off pictures, which rounds them; "
        f"to make the within-net matrices positive definite, correlations were changed by at most {change:.2f}.",
        rows=_matrix_rows(pair, maps),
    )


def _maps(pair: PairMoments) -> SparseMap:
    """The paper's optimiser at all penalties of the paper at once: none, then those of its released runs."""
    n_units = pair.cov_ab.shape[1]
    penalties = [n_units * 10**run.exponent for run in published.CONV1_RUNS]
    return sparse_map(pair, penalties=[0, *penalties], solver="paper")


def _matrix_figures(pair: PairMoments, maps: SparseMap) -> Iterator[Drawing]:
    found, matching = correlation(pair), match_one_to_one(pair)
    yield Drawing("1", "conv1", correlation_panels(found, matching), alts.correlations("conv1", found, matching))
    paths = pd.concat([sparse_map(pair).path_table(), maps.path_table()]).assign(layer="conv1")
    yield Drawing("T1", "conv1", penalty_chart(paths), alts_groups.penalties(paths))
    tree = agglomerate_map(maps.weights[_PLACE[_RELEASED]], a=maps.a, b=maps.b)
    panel = agglomeration_panel(tree.matrix, tree.sides, tree.linkage, a="Net1", b="Net2")
    yield Drawing("7", "conv1", panel, alts_groups.merges(tree.linkage, len(tree.sides), a="Net1", b="Net2"))


def load_matrices(path: Path) -> tuple[PairMoments, float]:
    """Read digitised correlation matrices of conv1 of Net1 and Net2.

    Args:
        path: an `.npz` with `between_01` and, as grey values from 0 to 1, `within0_gray01` and `within1_gray01`.

    Returns:
        The pair, its within-net matrices made positive definite, and the largest change that took.

    Raises:
        DataError: if the file is missing, damaged or lacks a matrix.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            between = np.asarray(file[_BETWEEN], dtype=np.float64)
            within_a, within_b = (_correlations(file[name]) for name in _WITHIN)
            _check_matrices(within_a, within_b, between)
            pair = PairMoments.from_correlation(within_a, within_b, between, a="Net1/conv1", b="Net2/conv1")
    except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile, InvalidArgumentError) as error:
        raise DataError(
            f"Cannot read the correlation matrices of '{path}': {str(error).rstrip('.')}. "
            f"Give an .npz file that holds {_BETWEEN}, {_WITHIN[0]} and {_WITHIN[1]}."
        ) from error
    return mended(pair)


def _check_matrices(within_a: Array, within_b: Array, between: Array) -> None:
    """What the pair itself would take, and published matrices cannot be."""
    if min(between.shape, default=0) < _FEWEST:
        raise ValueError(f"Found {between.shape} correlations between the nets; both have {_FEWEST} units or more")
    for name, matrix in zip((*_WITHIN, _BETWEEN), (within_a, within_b, between), strict=True):
        if not np.isfinite(matrix).all():
            raise ValueError(f"Found values in {name} that are not finite")
    for name, matrix in zip(_WITHIN, (within_a, within_b), strict=True):
        if matrix.shape == matrix.T.shape and not np.allclose(matrix, matrix.T, atol=1e-3):
            raise ValueError(f"Found {name} not symmetric")


def _correlations(grey: Array) -> Array:
    matrix = _DARKEST + (1 - _DARKEST) * np.asarray(grey, dtype=np.float64)
    np.fill_diagonal(matrix, 1)
    return matrix


def _matrix_rows(pair: PairMoments, maps: SparseMap) -> list[Row]:
    """Every published number of conv1 that its correlation matrices decide."""
    return [
        *_matching_rows(pair),
        *_map_rows(pair, maps),
        *_contributor_rows(maps),
        *_merge_rows(maps),
        *_cluster_rows(pair),
    ]


def _matching_rows(pair: PairMoments) -> Iterator[Row]:
    section = "One-to-one alignment, conv1 (Figures 1 to 4)"
    best, one_to_one = match_best(pair), match_one_to_one(pair)
    theirs = published.MATCHING["conv1"]
    between = correlation(pair).between
    digitised = "read off a picture"
    yield Row(section, "mean r, semi-matching", theirs.best, best.mean)
    yield Row(section, "mean r, one-to-one matching", theirs.one_to_one, one_to_one.mean)
    yield Row(section, "share with the same partner under both", theirs.overlap, overlap(best, one_to_one))
    yield Row(section, "share without a partner of r of at least .5", theirs.alone, best.share_below(0.5))
    back = match_best(pair.swapped)
    yield Row(section, "different partners in Net2", 72, best.n_used, digitised)
    yield Row(section, "lowest r, one-to-one matching", 0.13, float(np.nanmin(one_to_one.score)), digitised)
    yield Row(section, "mean r, semi-matching from Net2 to Net1", 0.72, back.mean, digitised)
    yield Row(section, "different partners in Net1, from Net2", 72, back.n_used, digitised)
    same = overlap(back, match_one_to_one(pair.swapped))
    yield Row(section, "share with the same partner under both, from Net2", 0.68, same, digitised)
    for what, published_value, ours in (
        ("lowest correlation", -0.51, between.min()),
        ("highest correlation", 0.996, between.max()),
        ("mean correlation", 0.077, between.mean()),
    ):
        yield Row(section, what, published_value, float(ours), digitised)
    ranked = np.sort(best.score)[::-1]
    for name, theirs_ranked, ours_ranked in zip(
        ("best", "worst"), published.BEST_AND_WORST["conv1"], (ranked[:8], ranked[-8:]), strict=True
    ):
        for i, (their_r, our_r) in enumerate(zip(theirs_ranked, ours_ranked, strict=True), 1):
            yield Row(section, f"{name} pairs, number {i} of 8", their_r, float(our_r))


def _map_rows(pair: PairMoments, maps: SparseMap) -> Iterator[Row]:
    section = "Few-to-one prediction, conv1 (Table 1)"
    exact = sparse_map(pair, penalties=maps.penalties)
    mean_paper, mean_exact = (found.n_contributors().mean(axis=1).tolist() for found in (maps, exact))
    for run in published.CONV1_RUNS:
        i, at = _PLACE[run.exponent], f"lambda 10^{run.exponent:g}"
        yield Row(section, f"{at}: loss, the paper's optimiser", run.loss, float(maps.loss[i]))
        yield Row(section, f"{at}: contributors", run.n_contributors, mean_paper[i])
        yield Row(section, f"{at}: norm of the weights", run.norm, float(np.linalg.norm(maps.weights[i])))
        yield Row(section, f"{at}: largest weight", run.largest, float(np.abs(maps.weights[i]).max(initial=0)))
        not_theirs = "the minimum, which their optimiser stops short of"
        yield Row(section, f"{at}: loss, exact", None, float(exact.loss[i]), not_theirs)
        yield Row(section, f"{at}: contributors, exact", None, mean_exact[i], not_theirs)
    unpenalised = published.SPARSE_LOSS["conv1"][0]
    yield Row(section, "lambda 0: loss, the paper's optimiser", unpenalised, float(maps.loss[0]))


def _contributor_rows(maps: SparseMap) -> Iterator[Row]:
    theirs_by_number = published.CONV1_CONTRIBUTORS
    counts = np.bincount(maps.n_contributors()[_PLACE[_RELEASED]], minlength=len(theirs_by_number))
    for n, theirs in enumerate(theirs_by_number):
        what = f"units with {n} contributor{'' if n == 1 else 's'}"
        yield Row("Contributors at lambda 10^-2.6", what, theirs, int(counts[n]), _RELEASED_WEIGHTS)


def _merge_rows(maps: SparseMap) -> Iterator[Row]:
    for exponent, theirs in published.CONV1_MERGES.items():
        section = f"Agglomeration of the map at lambda 10^{exponent:g} (Figure 7)"
        tree = agglomerate_map(maps.weights[_PLACE[exponent]])
        for what, their_value, ours in (
            ("height of the first merge", theirs.first, float(tree.heights[0])),
            ("merges of two units", theirs.of_two, tree.n_leaf_merges),
            ("of these, of one unit of each net", theirs.of_two, tree.n_cross_leaf_merges),
            ("merges above a height of .05", theirs.above_05, tree.n_above(0.05)),
            ("merges above a height of .01", theirs.above_01, tree.n_above(0.01)),
        ):
            yield Row(section, what, their_value, ours, _RELEASED_WEIGHTS)


def _cluster_rows(pair: PairMoments) -> Iterator[Row]:
    clusters = cluster_units(pair, threshold=published.CLUSTER_THRESHOLD, k=40, max_leaf=5)
    yield Row(
        "Spectral clusters (Figures S5 to S7)",
        "clusters from k = 40, after large ones are split",
        published.CLUSTERS["conv1"],
        clusters.n_clusters,
        "how they split is not fully known",
    )
