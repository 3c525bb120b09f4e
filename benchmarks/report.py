# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From a result to Markdown. Nothing is measured here, and nothing is written by hand."""

from collections.abc import Iterable, Sequence

from hf_unimo import Unimo2Config

from .by_hand import pair_flops
from .sizes import Size
from .summary import Row, summarize
from .targets import targets


SECTIONS = {
    "limit": "The limit: the matrix products of a fusion layer, and nothing else",
    "forward": "Forward passes",
    "training": "Training steps: loss, gradients, fused AdamW",
    "optimizer": "The optimizer's part of a training step",
    "retrieval": "Retrieval, bf16",
    "texts": "Batches by length, bf16",
    "search": "Search",
    "captioning": "Captions with a cache, bf16",
    "loading": "Loading, fp32, files in the page cache",
}
"""Section of a case -> its heading."""


def to_markdown(result: dict) -> str:
    """The tables of a result, below headings of the third level."""
    rows, setup = summarize(result), result["setup"]
    blocks = [_protocol(result), _targets(rows, setup)]
    for section, heading in SECTIONS.items():
        found = [row for row in rows.values() if row.section == section]
        if found:
            blocks.append(f"### {heading}\n\n{_section(section, found, rows)}")
    blocks.append(f"### Where the operations of a pair are\n\n{_parts(setup)}")
    return "\n\n".join(block for block in blocks if block) + "\n"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column stands left, the others right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _protocol(result: dict) -> str:
    setup, rounds = result["setup"], result["rounds"]
    size = setup["size"]
    versions = ", ".join(f"{name} {version}" for name, version in setup["versions"].items())
    where = setup["processor"] if setup["device"] == "cpu" else f"{setup['device']}, {setup['processor']}"
    loads = [f"{found['load']:.1f}" for found in (rounds[0], result["ended"])]
    return (
        f"    {setup['command']}\n\n"
        f"{result['ended']['date'][:10]}, {where}, {setup['threads']} threads on {setup['cores']} cores, load average "
        f"{loads[0]} at the start and {loads[1]} at the end. {versions}, code {setup['code']}. Size {size['name']}: "
        f"{size['layers']} layers an encoder, width {size['width']}, {size['batch']} pairs of {size['image']} pixels "
        f"and {size['words']} tokens. {len(rounds)} interleaved round{'s' * (len(rounds) > 1)}, medians; "
        '"spread": slowest less fastest, relative to the median. '
        "Absolute figures are those of this machine in this run."
    )


def _targets(rows: dict[str, Row], setup: dict) -> str:
    if setup["size"]["name"] != "base":
        return "Targets are about base size and are not judged here."
    device = "cpu" if setup["device"] == "cpu" else "cuda"
    lines = []
    for target in targets(setup["device"]):
        found = target.measured(rows)
        if found is None or device not in target.devices:
            continue
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:.3g}"
        lines.append((target.text, bound, f"{found:.3g}", "yes" if target.met(rows) else "**no**"))
    if not lines:
        return ""
    return "### What was aimed at\n\n" + table(("Ratio", "Target", "Measured", "Met"), lines)


def _section(section: str, rows: list[Row], all_rows: dict[str, Row]) -> str:
    extra = list(dict.fromkeys(key for row in rows for key in row.figures))
    if section == "limit":
        lines = [
            (row.name, _number(row.ratio), *[f"{row.figures[key] / 1e9:,.0f}" for key in extra], _percent(row.spread))
            for row in rows
        ]
        return table(("Case", "Relative", *[f"{key}, GFLOP/s" for key in extra], "Spread"), lines)
    if section == "optimizer":
        lines = [(row.name, _percent(row.seconds / all_rows[row.relative_to].seconds)) for row in rows]
        return table(("Case", "Share of a training step"), lines)
    if section == "search":
        lines = [(key, f"{rows[0].figures[key]:.2f}") for key in extra if not key.endswith(", seconds")]
        return table(("Search", "Time relative to one read of the vectors"), lines)
    unit = rows[0].unit if len({row.unit for row in rows}) == 1 else "items"
    head, cells = ["Case"], [[row.name] for row in rows]

    def column(title: str, values: list[str]) -> None:
        if any(values):
            head.append(title)
            for line, value in zip(cells, values):
                line.append(value)

    column("Unit" if unit == "items" else "", [row.unit if unit == "items" else "" for row in rows])
    column(f"GFLOP / {unit.removesuffix('s')}" if unit else "", [_giga(row.flops_per_item) for row in rows])
    column("Share of the limit", [_number(row.share, 3) for row in rows])
    speed = f"{unit} / s" if unit else "Speed"
    column(f"{speed}, relative", [_number(row.ratio) for row in rows])
    for key in extra:
        column(key.capitalize(), [_figure(key, row.figures.get(key)) for row in rows])
    if unit:
        column(f"{speed}, this machine, this run", [f"{row.per_second:.3g}" for row in rows])
    column("Spread", [_percent(row.spread) for row in rows])
    column("Rounds", [str(row.rounds) for row in rows])
    return f"Relative to: {rows[0].relative_to}.\n\n{table(head, cells)}"


def _parts(setup: dict) -> str:
    size = Size(**setup["size"])
    config: Unimo2Config = size.config()
    three, one = (pair_flops(config, size.image, size.words, three_calls=flag) for flag in (True, False))
    whole = sum(three.values())
    lines = [(name, f"{value / 1e9:,.2f}", _percent(value / whole)) for name, value in three.items()]
    lines.append(("**pair**", f"{whole / 1e9:,.2f}", _percent(1.0)))
    masked = one["fusion encoder"] / 1e9
    return (
        table(("Part", "GFLOP", "Share"), lines)
        + f"\n\nWith one masked attention instead of three calls the fusion encoder takes {masked:,.2f} GFLOP."
    )


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _giga(value: float | None) -> str:
    return "" if value is None else f"{value / 1e9:,.3g}" if value < 1e9 else f"{value / 1e9:,.1f}"


def _figure(key: str, value: float | None) -> str:
    if value is None:
        return ""
    if key.endswith("bytes"):
        return f"{value / 1e6:,.0f} MB"
    return f"{value:.2f} s" if key.endswith("seconds") else f"{value:.2f}"
