# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Cases that cost nothing, and a result with round numbers: what the tests of this folder share."""

from contextlib import contextmanager

from benchmarks.case import Case


def case(name, log=None, figures=None, **settings):
    """Its run appends its name to `log` and returns `figures`."""

    @contextmanager
    def ready():
        def run():
            if log is not None:
                log.append(name)
            return figures

        yield run

    return Case(name, settings.pop("section", "forward"), ready, **settings)


def described(section, relative_to="", dtype="", items=1, unit="pairs", flops_of=""):
    return {
        "section": section,
        "items": items,
        "unit": unit,
        "dtype": dtype,
        "relative_to": relative_to,
        "flops_of": flops_of,
    }


def result():
    """Two products, two forward passes of 8 pairs: the second does twice the work of the first in the same time."""
    return {
        "setup": {
            "cases": {
                "products": described("limit", "products", "fp32", unit="", flops_of="-"),
                "one": described("forward", "one", "fp32", items=8),
                "two": described("forward", "one", "fp32", items=8),
                "two, compiled": described("forward", "one", "fp32", items=8, flops_of="two"),
                "never": described("forward", "one", "fp32", items=8),
            }
        },
        "flops": {"one": 800, "two": 1600},
        "rounds": [
            {
                "date": "2026-01-01T00:00:00+00:00",
                "load": 0.1,
                "samples": {
                    "products": {"seconds": seconds / 4, "flops": 1000.0},
                    "one": {"seconds": seconds, "late over early": seconds, "limit": 4000 / seconds},
                    "two": {"seconds": seconds, "limit": 4000 / seconds},
                    "two, compiled": {"seconds": seconds / 2, "limit": 4000 / seconds},
                },
            }
            for seconds in (1.0, 2.0, 9.0)
        ],
        "ended": {"date": "2026-01-01T00:10:00+00:00", "load": 0.2},
    }
