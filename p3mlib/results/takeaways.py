"""What a table says, in sentences written from its numbers: which difference is beyond the noise decides what is said.

Every function takes Printed tables of `tables` and returns a `Takeaway`, which a notebook shows as a list.
"""

from p3mlib.data.datasets import MissingData
from p3mlib.experiments import config, untrained
from p3mlib.results import report

NOTHING = "Nothing can be said: no network was run on this data."
UNTAUGHT = "These networks have learned nothing yet: none errs less than the mean matte, which never looks at the image."


class Takeaway(str):
    """Sentences, one a line."""

    def _repr_markdown_(self):
        return "\n".join(f"- {line}" for line in self.splitlines())


def _said(profile, summary, sentences):
    """The Takeaway of what `sentences` yields, or why there is none."""
    seen = (key for key in summary if key[1] == "P3M-500-P" and key[3] == "MAD" and key[0] not in (*untrained.REFERENCES, "DIM"))
    trained = [summary[key][0] for key in seen]  # of networks that are not given the trimap
    if not trained:
        return Takeaway(NOTHING)
    lines = list(sentences)
    return Takeaway("\n".join([UNTAUGHT, *lines] if min(trained) >= _mean_matte_mad(profile) else lines))


def _mean_matte_mad(profile):
    """MAD of the mean training matte on P3M-500-P; infinite where there is none."""
    try:
        return untrained.reference("Mean matte", config.load().profile(profile)).per_image("P3M-500-P", "B")["MAD"].mean()
    except MissingData:
        return float("inf")


def _span(cell, digits=1):
    middle, low, high = (round(float(value), digits) + 0.0 for value in cell)  # no minus before a zero
    return f"{middle:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _listed(names):
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def _order(cells):
    """Methods of a dict method -> cell from the smallest error on, with their numbers."""
    return ", ".join(f"{method} {cell[0]:.1f}" for method, cell in sorted(cells.items(), key=lambda item: item[1][0]))


def blurred_training(table, profile):
    """Table 4: what PPT costs on sharp faces, and the order of the methods."""

    def sentences():
        trained = {
            k[0]: c for k, c in table.summary.items() if k[1:] == ("P3M-500-P", "B:N", "SAD") and k[0] not in untrained.REFERENCES
        }
        gaps = {key[0]: cell for key, cell in table.summary.items() if key[3] == "SAD - N:N" and key[0] in trained}
        more, beyond = [m for m, c in gaps.items() if c[0] > 0], [m for m, c in gaps.items() if not report.within_noise(c)]
        if gaps:
            share = {m: c[0] / (trained[m][0] - c[0]) for m, c in gaps.items()}
            most = max(gaps, key=lambda m: share[m])
            yield f"On sharp faces {len(more)} of {len(gaps)} methods err more after blurred training than after normal training."
            yield f"Beyond the noise of images and seeds: {_listed(f'{m} {_span(gaps[m])}' for m in beyond)}."
            yield f"The largest share is that of {most}, {share[most]:+.0%} of its SAD."
        yield f"SAD after blurred training on sharp faces, least first: {_order(trained)}."

    return _said(profile, table.summary, sentences())


def order_of(table, profile, methods=()):
    """Table 5: the order of the methods by SAD on both test sets, of those called `methods` or of all, beside the paper's."""

    def sentences():
        for dataset, domain in config.load().tables[5].sets:
            key = dataset, f"B:{domain}", "SAD"
            ours = {k[0]: c for k, c in table.summary.items() if k[1:] == key and k[0] not in untrained.REFERENCES}
            ours = {m: c for m, c in ours.items() if not methods or m in methods}
            paper = {k[0]: (float(v),) for k, v in report.paper_cells(5).items() if k[1:] == key and k[0] in ours}
            if ours:
                yield f"SAD on {dataset}, least first: {_order(ours)}. The paper: {_order(paper)}."

    return _said(profile, table.summary, sentences())


def generalisation(table, other, profile):
    """Tables 6 and 5: for how many methods real-world portraits are harder than P3M-500-NP, and by how much."""

    def sentences():
        mad = {
            k[0]: c[0] for k, c in table.summary.items() if k[1:] == ("RWP", "B:N", "MAD") and k[0] not in untrained.REFERENCES
        }
        before = {m: other.summary.get((m, "P3M-500-NP", "B:N", "MAD")) for m in mad}
        factors = {m: mad[m] / cell[0] for m, cell in before.items() if cell}
        if factors:
            least, most = min(factors, key=factors.get), max(factors, key=factors.get)
            yield f"By MAD RWP is harder than P3M-500-NP for {sum(f > 1 for f in factors.values())} of {len(factors)} methods."
            yield f"From {factors[least]:.1f} times the error ({least}) to {factors[most]:.1f} times ({most})."

    return _said(profile, other.summary, sentences())


def modules(table, profile):
    """Table 7: what the modules take off BASIC's SAD, beside the paper."""

    def sentences():
        for dataset, domain in config.load().tables[7].sets:
            key = dataset, f"B:{domain}", "SAD"
            sad = {k[0]: c[0] for k, c in table.summary.items() if k[1:] == key and k[0] not in untrained.REFERENCES}
            paper = {k[0]: float(v) for k, v in report.paper_cells(7).items() if k[1:] == key and k[0] in sad}
            if "BASIC" not in sad:
                continue
            parts = (f"{m} {sad[m] / sad['BASIC'] - 1:+.0%} ({paper[m] / paper['BASIC'] - 1:+.0%})" for m in sad if m != "BASIC")
            yield f"SAD against BASIC on {dataset}, the paper's in brackets: {', '.join(parts)}."
            yield f"Least on {dataset}: {min(sad, key=sad.get)}; in the paper: {min(paper, key=paper.get)}."

    return _said(profile, table.summary, sentences())


def obfuscations(table, profile):
    """Table 8: what mosaics and zero masks change against blurring, beside the paper."""

    def sentences():
        paper = report.paper_cells(8)
        for setting, name in (("B:Mosaic", "Mosaics"), ("B:Mask", "Zero masks")):
            parts = []
            for (method, dataset, found, metric), cell in table.summary.items():
                if (found, metric) != (setting, "SAD - blurring"):
                    continue
                before = table.summary[method, dataset, "B:B", "SAD"][0]
                theirs = [float(paper.get((method, dataset, s, "SAD"), "nan")) for s in (setting, "B:B")]
                noise = ", within the noise" if report.within_noise(cell) else ""
                parts.append(f"{method} {cell[0] / before:+.0%} (the paper {theirs[0] / theirs[1] - 1:+.0%}){noise}")
            if parts:
                yield f"{name} instead of blur change SAD by: {'; '.join(parts)}."

    return _said(profile, table.summary, sentences())


def copy_and_paste(table, profile, metric="SAD-FG"):
    """Table 9 or 10: what blurred training costs each network on sharp faces, and how much of that copy and paste wins back."""

    def sentences():
        change, summary = f"{metric} - none", table.summary
        for (label, dataset, setting, name), normal in summary.items():
            if name != change or setting != "N:N":
                continue
            plain, gap = summary[label, dataset, "B:N", metric][0], -normal[0]
            where = f"{metric} of {label} on {'un-blurred ' * (dataset == 'P3M-500-P')}{dataset}"
            if report.within_noise(normal) or gap <= 0:
                yield f"{where}: no cost of blurred training beyond the noise ({_span((gap, -normal[2], -normal[1]))})."
                continue
            won = {k[0].partition("+")[2]: c for k, c in summary.items() if k[1:] == (dataset, "B:N", change) and k[0] != label
                   and report.network_of(k[0]) == label}  # fmt: skip
            parts = (f"{kind} {-c[0] / gap:.0%}{' (within the noise)' * report.within_noise(c)}" for kind, c in won.items())
            more = gap / (plain - gap)
            cost = _span((gap, -normal[2], -normal[1]))
            yield f"{where}: {cost} by blurred training ({more:+.0%}); won back by {', '.join(parts)}."

    return _said(profile, table.summary, sentences())


def verdicts(board):
    """How many predicates of a board of `claims` pass, fail or stay undecided, and which hold."""
    counts = board["verdict"].value_counts()
    passed, failed = (int(counts.get(verdict, 0)) for verdict in ("PASS", "FAIL"))
    decided = passed + failed
    lines = [f"Of {len(board)} predicates {passed} pass, {failed} fail, {int(counts.get('undecided', 0))} are undecided."]
    lines += [f"Of those decided {passed / decided:.0%} pass."] if decided else []
    lines += [f"{verdict}: {', '.join(board.loc[board['verdict'] == verdict, 'claim'])}." for verdict in ("PASS", "FAIL")]
    return Takeaway("\n".join(lines))
