"""The Markdown tables of the social report that come from logged runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hmgen_ros.evaluation.social_runs import Run, Spread, number, select, spread

NOT_RUN = "not run"
#: Where a run exists but did not measure something.
NO_VALUE = "–"

#: Names for tables and legends.
TITLES = {
    "simple_rnn": "SimpleRNN",
    "dense_rnn": "DenseRNN",
    "local_rnn": "LocalRNN",
    "cnn": "CNN",
    "cnn_large": "48ChanCNN-Large",
    "local_rnn_large": "LocalRNN-Large",
    "indiv_stream": "Indiv-stream",
    "inter_stream": "Inter-stream",
    "no_gan": "No-GAN",
    "local_rnn_35a": "SIG (35A)",
    "local_rnn_3_4p": "SIG (3&4P)",
    "local_rnn_residual": "LocalRNN, residual logit",
    "likelihood": "likelihood with sampling",
    "likelihood_residual": "likelihood, residual logit",
    "refined": "likelihood, refined adversarially",
    "attention": "attention over people and time",
    "attention_refined": "attention, refined adversarially",
    "persistence": "persistence",
    "semi_markov": "semi-Markov",
}

#: Systems with samples of their own, so that their data differ from the others'.
OWN_DATA = {"local_rnn_35a": "data, more actions", "local_rnn_3_4p": "data, three and four people"}

RECURRENT = ("simple_rnn", "dense_rnn", "local_rnn")

#: H_M, H_C and SFID as the thesis prints them, by table, system and λ_reco; T = 40 is Table 3.1, 80 is 3.2.
THESIS = {
    (40, "simple_rnn", 1e-3): ("2.07 ± 0.06", "0.04 ± 0.03", "0.72 ± 0.22"),
    (40, "dense_rnn", 1e-3): ("2.15 ± 0.05", "0.04 ± 0.02", "0.84 ± 0.21"),
    (40, "local_rnn", 1e-3): ("2.18 ± 0.04", "0.26 ± 0.06", "0.41 ± 0.09"),
    (40, "simple_rnn", 0.0): ("1.94 ± 0.05", "0.38 ± 0.07", "1.10 ± 0.25"),
    (40, "dense_rnn", 0.0): ("2.20 ± 0.07", "0.22 ± 0.05", "0.44 ± 0.09"),
    (40, "local_rnn", 0.0): ("2.18 ± 0.03", "0.26 ± 0.03", "0.24 ± 0.04"),
    (80, "simple_rnn", 1e-3): ("1.98 ± 0.06", "0.26 ± 0.13", "1.41 ± 0.36"),
    (80, "dense_rnn", 1e-3): ("2.12 ± 0.03", "0.05 ± 0.04", "0.82 ± 0.06"),
    (80, "local_rnn", 1e-3): ("2.16 ± 0.05", "0.34 ± 0.09", "0.74 ± 0.27"),
    (80, "simple_rnn", 0.0): ("1.96 ± 0.03", "0.26 ± 0.08", "1.87 ± 0.36"),
    (80, "dense_rnn", 0.0): ("2.13 ± 0.13", "0.29 ± 0.15", "1.40 ± 0.53"),
    (80, "local_rnn", 0.0): ("2.15 ± 0.06", "0.45 ± 0.10", "0.73 ± 0.26"),
}
THESIS_DATA = {40: ("2.18", "0.30", NO_VALUE), 80: ("2.18", "0.51", NO_VALUE)}

#: Rows of Table 3.3: title, system, and the thesis' H_M, H_C and SFID.
ABLATION = (
    ("Dual-stream (full)", "local_rnn", ("2.18 ± 0.03", "0.26 ± 0.03", "0.24 ± 0.04")),
    ("Indiv-stream", "indiv_stream", ("2.15 ± 0.05", "0.27 ± 0.09", "0.42 ± 0.10")),
    ("Inter-stream", "inter_stream", ("2.23 ± 0.03", "0.35 ± 0.04", "0.77 ± 0.14")),
    ("No-GAN", "no_gan", ("2.06 ± 0.01", "0.14 ± 0.01", "0.29 ± 0.01")),
)

#: Columns that tell coupling and dynamics, to which H_M, H_C and SFID are blind.
COUPLING = {
    "overlap": "overlap",
    "pairwise_mi": "pairwise MI",
    "short_dwell": "short dwells",
    "changes": "changes/s",
}
#: Settings of a run that are reported, and their heads.
_SIZES = {
    "batch": "batch",
    "hidden": "hidden",
    "generator_rate": "rate G",
    "discriminator_rate": "rate D",
    "validation_windows": "validation windows",
}
_THREE = ("H_M", "H_C", "SFID")
_HEADS = {"H_M": "H_M (→ data)", "H_C": "H_C (→ data)", "SFID": "SFID (↓)"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def comparison(runs: Sequence[Run], target: int) -> str:
    """Table 3.1 (T = 40) or 3.2 (T = 80): recurrent discriminators with λ_reco 1e-3 and 0."""
    rows = [["data", "", *_data(runs, target, _THREE), "", "", *THESIS_DATA[target]]]
    for lambda_reco in (1e-3, 0.0):
        for system in RECURRENT:
            found = select(runs, system, target, lambda_reco)
            thesis = THESIS[target, system, lambda_reco]
            rows.append([TITLES[system], f"{lambda_reco:g}", *_best(found, _THREE), *_effort(found), *thesis])
    thesis_heads = [f"thesis: {name}" for name in _THREE]
    header = ["model", "λ_reco", *_HEADS.values(), "seeds", "best iteration", *thesis_heads]
    return table(header, rows)


def ablation(runs: Sequence[Run]) -> str:
    """Table 3.3: what each stream and the adversarial loss are worth, T = 40."""
    rows = [["data", *_data(runs, 40, _THREE), "", "", *THESIS_DATA[40]]]
    for title, system, thesis in ABLATION:
        found = select(runs, system, 40)
        rows.append([title, *_best(found, _THREE), *_effort(found), *thesis])
    thesis_heads = [f"thesis: {name}" for name in _THREE]
    return table(["model", *_HEADS.values(), "seeds", "best iteration", *thesis_heads], rows)


def everything(runs: Sequence[Run]) -> str:
    """Every system that is trained, with coupling, T = 40, at its best SFID.

    Runs with λ_reco = 0 stand for a system where there are any.
    """
    metrics = (*_THREE, *COUPLING)
    rows = [["data", *_data(runs, 40, metrics), "", ""]]
    extra = sorted({run.system for run in runs} - TITLES.keys())
    for system in (*TITLES, *extra):
        found = select(runs, system, 40)
        if system in ("persistence", "semi_markov") and not found:
            continue  # Counted, not trained: these are in the held-out tables.
        if system in OWN_DATA:
            rows.append([OWN_DATA[system], *_data(found, 40, metrics, nominal=False), "", ""])
        rows.append([TITLES.get(system, system), *_best(found, metrics), *_effort(found)])
    return table(["system", *_HEADS.values(), *COUPLING.values(), "seeds", "best iteration"], rows)


def efforts(runs: Sequence[Run]) -> str:
    """What was run: a line for each setting, with its sizes, seeds, time and dates."""
    settings = sorted({(run.system, run.target, run.lambda_reco) for run in runs}, key=_order)
    rows = []
    for system, target, lambda_reco in settings:
        found = select(runs, system, target, lambda_reco)
        epochs = [float(run.curves["epoch"][-1]) for run in found if len(run.curves.get("epoch", ()))]
        dates = sorted(str(run.config.get("date", ""))[:10] for run in found)
        rows.append(
            [
                title(system),
                str(target),
                f"{lambda_reco:g}",
                ", ".join(str(run.seed) for run in sorted(found, key=lambda run: run.seed)),
                _distinct([run.iterations for run in found]),
                _distinct([round(epoch) for epoch in epochs]),
                *(_distinct([run.option(name) for run in found]) for name in _SIZES),
                f"{sum(number(run.result.get('seconds')) for run in found) / len(found) / 60:.1f}",
                " to ".join(dict.fromkeys((dates[0], dates[-1]))),
            ]
        )
    header = ["system", "T", "λ_reco", "seeds", "iterations", "epochs", *_SIZES.values(), "minutes", "dates"]
    return table(header, rows) if rows else NOT_RUN


def fixed(value: float) -> str:
    """A number as tables show it; a dash for NaN."""
    return f"{value:.{_decimals(value)}f}" if math.isfinite(value) else NO_VALUE


def title(name: str) -> str:
    """A system's name for readers; unknown ones keep their own."""
    return TITLES.get(name, name)


def _best(runs: Sequence[Run], metrics: Sequence[str]) -> list[str]:
    if not runs:
        return [NOT_RUN] * len(metrics)
    return [_plus_minus(spread([run.value("best", metric) for run in runs])) for metric in metrics]


def _data(runs: Sequence[Run], target: int, metrics: Sequence[str], nominal: bool = True) -> list[str]:
    """The data's own values: the same for every run with the nominal actions and groups."""
    chosen = [run for run in runs if run.target == target and not (nominal and run.system in OWN_DATA)]
    if not chosen:
        return [NOT_RUN] * len(metrics)
    means = [spread([run.value("data", metric) for run in chosen]) for metric in metrics]
    return [NO_VALUE if mean is None else fixed(mean.mean) for mean in means]


def _effort(runs: Sequence[Run]) -> list[str]:
    """Number of seeds, and mean iteration of the lowest SFID of those done."""
    if not runs:
        return ["0", NO_VALUE]
    best = spread([run.value("best", "iteration") for run in runs])
    done = round(sum(run.iterations for run in runs) / len(runs))
    return [str(len(runs)), NO_VALUE if best is None else f"{best.mean:.0f} of {done}"]


def _order(setting: tuple[str, int, float]) -> tuple[int, str, int, float]:
    """Systems as in ``TITLES``, unknown ones last."""
    system, target, lambda_reco = setting
    names = list(TITLES)
    return names.index(system) if system in names else len(names), system, target, lambda_reco


def _distinct(values: Sequence[Any]) -> str:
    """Every value that occurs, once."""
    known = [
        f"{value:g}" if isinstance(value, float) else str(value) for value in values if value is not None
    ]
    return ", ".join(dict.fromkeys(known)) or NO_VALUE


def _plus_minus(values: Spread | None) -> str:
    if values is None:
        return NO_VALUE
    if values.count == 1:
        return fixed(values.mean)
    # Both with the decimals of the mean, as one reads them together.
    decimals = _decimals(values.mean)
    return f"{values.mean:.{decimals}f} ± {values.std:.{decimals}f}"


def _decimals(value: float) -> int:
    """Three decimals for small numbers; large ones, as a bad model's SFID, need none."""
    return 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0
