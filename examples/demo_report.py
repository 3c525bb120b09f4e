# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What `demo.py` writes: tables, `report.md` and a picture of what was found for what."""

import textwrap

import numpy as np
from demo_evaluation import CHECKED, DIRECTIONS, TEST_TAGS, full_caption
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def results_tables(results):
    """The figures as two Markdown tables; chance in brackets."""
    lines = [
        "| Gallery | Pictures | Direction | R@1 % | R@5 % | R@10 % | R@10 / chance |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, result in results.items():
        chance = result["chance"]
        for direction in DIRECTIONS:
            found = result[direction]
            cells = [f"{100 * found[key]:.1f} ({100 * chance[key]:.1f})" for key in found]
            times = f"{found['R@10'] / chance['R@10']:.1f}"
            lines.append(f"| {' | '.join([name, str(result['pictures']), direction, *cells, times])} |")
    lines += [
        "",
        "| Gallery | Groups | Zero-shot accuracy % | Largest group % | Entries used | Shared by two pictures % |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, result in results.items():
        groups, dictionary = result["groups"], result["dictionary"]
        accuracy = f"{100 * groups['accuracy']:.1f} ({100 / groups['number']:.1f})"
        largest, overlap = f"{100 * groups['largest']:.1f}", f"{100 * dictionary['overlap']:.0f}"
        cells = [name, str(groups["number"]), accuracy, largest, str(dictionary["used"]), overlap]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_report(path, results, log, facts):
    """`report.md`: the figures, how they came about, and the command that repeats them."""
    lines = [
        "# UNIMO-2, trained from scratch on emoji",
        "",
        f"    {facts['command']}",
        "",
        f"Recall at 10 on concepts never trained on (twemoji and fluent, both directions): "
        f"**{facts['times chance']:.1f} times chance** after {facts['pairs']:,} pairs.",
        "",
        results_tables(results),
        "",
        "In brackets: chance (k of n candidates; one of the groups). "
        f"Entries used: how many of the dictionary's {facts['entries']} entries the pictures of the gallery choose, "
        f"{facts['chosen']} each, seen without words. Shared: mean Jaccard overlap of what two pictures choose; "
        f"{100 * facts['chosen'] / (2 * facts['entries'] - facts['chosen']):.0f} % if entries were drawn at random. "
        "The grounding loss on its own draws the dictionary to a common core; score contrast and the constraint on "
        "its rows work against that.",
        "",
        "![Words and the pictures found for them, pictures and the words found for them](retrieval.png)",
        "",
        f'Queries at even distances in the gallery "{CHECKED[0]}", not chosen by hand. A frame marks the right '
        "picture, bold type the right words.",
        "",
        "## Protocol",
        "",
        *[f"* {line}" for line in facts["protocol"]],
        "* Measured on the saved model, loaded with `AutoModel` and `AutoProcessor`; its features differ from the "
        f"trained model's by at most {facts['reload difference']:.1g}. Candidates are all pictures (captions) of the "
        f"gallery; a caption is the label and the first {TEST_TAGS} tags. The script's "
        "settings were chosen by looking at these galleries; there is no validation split.",
        "* Zero-shot: the nearest of the groups that the gallery has. A group is the mean feature of its subgroups' "
        'names, read as captions ("animal, bird"); which group a picture belongs to was no part of the training.',
        f"* {facts['seconds']:.0f} s of training on {facts['threads']} thread{'s' * (facts['threads'] > 1)}, "
        f"{facts['rows'] / facts['seconds']:.0f} rows a second. {facts['versions']}.",
        "",
        "Contrastive loss, mean since the line before:",
        "",
        "| Step | Loss |",
        "| ---: | ---: |",
        *[f"| {step:,} | {loss:.3f} |" for step, loss in log],
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_retrieval(path, encoder, rows, number=8, top=5):
    """A picture: `number` captions with the pictures found for them, and pictures with the labels found for them."""
    similarities = encoder.images(rows) @ encoder.texts([full_caption(row) for row in rows]).t()
    queries = [round(index) for index in np.linspace(0, len(rows) - 1, min(number, len(rows)))]
    figure = Figure(figsize=(13, 1.1 * len(queries) + 0.6), layout="constrained", dpi=100)
    axes = figure.subplots(len(queries), top + 3, width_ratios=[2.6, *[1] * top, 1.4, 2.6], squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    axes[0, 0].set_title("Words ...", loc="left", fontsize=11)
    title = axes[0, 1].text(
        0, 1.06, "... and the pictures found, best first", fontsize=11, transform=axes[0, 1].transAxes
    )
    title.set_in_layout(False)  # or the first column would get its width
    axes[0, -2].set_title("A picture ...", fontsize=11)
    axes[0, -1].set_title("... and the words found", loc="left", fontsize=11)
    for line, query in zip(axes, queries):
        words = textwrap.wrap(full_caption(rows[query]).strip(), 36, max_lines=4, placeholder=" ...")
        line[0].text(0, 0.5, "\n".join(words), va="center", fontsize=9)
        for axis, found in zip(line[1:], similarities[:, query].topk(min(top, len(rows))).indices.tolist()):
            axis.imshow(rows[found]["pixels"])
            if found == query:
                axis.add_patch(frame(rows[found]["pixels"]))
        line[-2].imshow(rows[query]["pixels"])
        best = similarities[query].topk(min(top, len(rows))).indices.tolist()
        for place, found in enumerate(best):
            label = textwrap.shorten(rows[found]["label"], 36, placeholder=" ...")
            weight = "bold" if found == query else "normal"
            line[-1].text(0, 0.9 - 0.2 * place, label, va="center", fontsize=9, weight=weight)
    figure.savefig(path)


def frame(pixels):
    """A green frame around a picture."""
    height, width = pixels.shape[:2]
    return Rectangle((-2, -2), width + 3, height + 3, fill=False, edgecolor="#118833", linewidth=3, clip_on=False)
