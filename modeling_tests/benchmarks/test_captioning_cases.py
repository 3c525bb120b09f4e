# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Late words against early ones."""

import pytest

from benchmarks.captioning_cases import late_over_early


def test_the_first_word_does_not_count():
    steps = [100.0] + [1.0] * 4 + [5.0] * 8 + [2.0] * 4
    times = [sum(steps[: number + 1]) for number in range(len(steps))]
    assert late_over_early(times) == pytest.approx(2.0)
    assert late_over_early([7.0, 8.0, 9.0]) == pytest.approx(1.0)
