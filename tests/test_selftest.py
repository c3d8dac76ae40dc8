"""The self test passes, and notices a library that is wrong."""

import pytest

from convergent import selftest
from convergent.selftest import run_selftest


def test_everything_passes() -> None:
    checks = list(run_selftest(n_inputs=100))
    assert len(checks) > 25
    assert [check for check in checks if not check.passed] == []


def test_a_wrong_measure_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "linear_cka", lambda pair, *, estimator: 0.99)
    failed = [check for check in run_selftest(n_inputs=60) if not check.passed]
    assert {check.asked for check in failed} == {"debiased CKA", "size of debiased CKA"}
