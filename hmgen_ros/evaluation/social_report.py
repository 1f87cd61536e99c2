"""Writes ``docs/results/social.md`` from logged runs and from the JSON of ``hmgen evaluate social``.

Every number and figure comes from those files; the words around them are in ``_TEXT``. What was not run
says so in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hmgen_ros.evaluation import social_held_out
from hmgen_ros.evaluation.social_figures import CURVES, draw_calibration, draw_curves
from hmgen_ros.evaluation.social_runs import Run, read_json, read_runs
from hmgen_ros.evaluation.social_tables import (
    ablation,
    comparison,
    efforts,
    everything,
    table,
)
from hmgen_ros.evaluation.social_targets import targets

_TEXT = """# SocialInteractionGAN and forecasters of actions on AMI

Written by `hmgen report social` from logged runs ({run_count} of them) and from the evaluation on held-out
series; do not edit, run it again. The thesis' own figures (chapter 3, MatchNMingle: three people, 14
actions, 600 sequences, 3000 to 6000 epochs) stand beside ours for orientation. They cannot be equal: the
AMI meetings have four people round a table, other actions and other entropies, and the networks, batches
and iterations here were chosen to fit the machine.

- Machine of the runs: {machines}
- Seeds: {seeds}; dates: {dates}
- Unfinished runs, as far as they went: {unfinished}
- Folders passed over: {passed}

Mean ± standard deviation over seeds. H_M is the entropy of the action marginal over all generated ticks,
H_C the mean entropy of one person's sequence (nats; good is near the data). SFID is the Fréchet distance
in a recurrent network that regresses action proportions (lower is better); ours is another network than the
thesis', so only ratios compare. Each run counts at its iteration of lowest validation SFID, as the
thesis does ("the training epoch that yields the best results"); forecasters that attend count at their
iteration of lowest validation NLL, for forecasting is what they are for.

## The shipped model against its targets

{targets}

Distances, overlap and mutual information: held-out meetings, T = 40, with 95 % intervals from
resampled blocks of meetings. "Met" for a score means better, with a 95 % interval of the paired difference
that leaves out 0.

## Held-out series: lifelike sequences

{sequences}

Sampled futures of 40 ticks.

## Held-out series: coupling

{coupling}

Overlap and silence: parts of ticks with two or more speakers and with none. Pairwise MI: mutual information
of two people's actions at one tick, nats. Response: how much likelier than at any time somebody else begins
to speak so long after a person stops. "data, shuffled" keeps every person's sequence and puts together
people of different groups: H_M and H_C stay, coupling goes. Every model must be nearer to the data than it.

## Held-out series: forecasts

{forecasts}

Mean over the horizons, with 95 % intervals. Probabilities are those a user gets with as many futures as the
settings say; `semi_markov` and `group_attention` smooth them, the others pay for the noise of few futures in
NLL more than in Brier and AUC; who speaks next `group_attention` knows in part without sampling. Next-speaker
AUC is over all turn ends, those of meetings without head annotation included, in which nothing else is asked.
By horizon, negative log-likelihood (nats):

{nll}

Brier score (0 to 2):

{brier}

Calibration error:

{ece}

{calibration}

Evaluation: {evaluation_source}.

## Table 3.1: recurrent discriminators, T = 40

{table_3_1}

## Table 3.2: recurrent discriminators, T = 80

{table_3_2}

## Table 3.3: without a stream, without a discriminator, T = 40

{table_3_3}

λ_reco = 0, except for No-GAN, which has no other loss.

## Every trained system, T = 40, with coupling

{everything}

Validation series; columns as for the held-out series. Short dwells: part of runs under 0.2 s. The systems
with 35 actions and with three and four people have data of their own, given above each.

## Curves

Mean and one standard deviation over seeds; dotted: the data.

![Figure 3.3]({figure_3_3})

Figure 3.3: marginal entropy by recurrent discriminator.

![Figure 3.4]({figure_3_4})

Figure 3.4: marginal entropy and SFID, LocalRNN against convolutions.

![Figure 3.5]({figure_3_5})

Figure 3.5: larger models.

![Figure 3.6]({figure_3_6})

Figure 3.6: more actions, and groups of three and four.

## Speed

{speed}

Training, seconds of one iteration (by system and T, one thread, batch 32; LocalRNN by batch and by threads):

{training}

## What was run

{efforts}

Minutes: of one run, wall clock, on a machine shared with other runs. The thesis: hidden and embedding 64,
learning rates 2e-5 (generator) and 1e-5 (discriminator).
"""

_NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What the report is made from.

    Attributes:
        runs: folder of run folders; what is missing there is reported as not run.
        evaluation: JSON of ``hmgen evaluate social``.
        shipped_system: the system whose run became the shipped model, for SFID ratios on validation
            windows; the evaluation's ``default`` where none is given.
        training_benchmark: JSON of ``benchmarks/social_training.py``.
        speed: JSON of the benchmark of one tick.
        out: the Markdown file; figures go to a folder of its name beside it.
    """

    runs: Path = Path("docs/results/social_runs")
    evaluation: Path | None = None
    shipped_system: str | None = None
    training_benchmark: Path | None = None
    speed: Path | None = None
    out: Path = Path("docs/results/social.md")

    def __post_init__(self) -> None:
        if self.out.suffix != ".md":
            raise ValueError(f"out must be a Markdown file (.md), got {self.out}")
        for name in ("evaluation", "training_benchmark", "speed"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: there is no file {path}")


def write_report(config: ReportConfig, console: Console | None = None) -> Path:
    """Write the report with its figures; returns the Markdown file.

    Raises:
        hmgen_ros.evaluation.social_runs.ReportError: a file of a run, or a JSON, is damaged.
    """
    runs, passed = read_runs(config.runs)
    evaluation = read_json(config.evaluation) if config.evaluation else {}
    figures = config.out.with_suffix("")
    blocks = {**_sources(runs, passed), **_run_tables(runs), **_evaluation_tables(evaluation)}
    system = config.shipped_system or str(evaluation.get("default"))
    blocks["targets"] = targets(evaluation, runs, system) if evaluation else _NOT_EVALUATED
    blocks["calibration"] = _calibration(evaluation, figures)
    for figure in CURVES:
        path = draw_curves(figure, runs, figures)
        blocks[figure.name] = f"{figures.name}/{path.name}"
    for name, source in (("speed", config.speed), ("training", config.training_benchmark)):
        blocks[name] = benchmark(source) if source else "not measured"
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(_TEXT.format(**blocks), encoding="utf-8")
    (console or Console()).print(f"wrote {config.out} from {len(runs)} runs", highlight=False)
    return config.out


def benchmark(path: Path) -> str:
    """Markdown of a benchmark's JSON: single figures as a list; what has rows or numbers as tables.

    Raises:
        hmgen_ros.evaluation.social_runs.ReportError: the file is damaged.
    """
    content = read_json(path)
    records = {key: found for key, value in content.items() if (found := _records(value))}
    singles = [f"- {key}: {_text(value)}" for key, value in content.items() if key not in records]
    parts = ["\n".join(singles)] if singles else []
    for key, rows in records.items():
        header = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_text(row.get(name)) for name in header] for row in rows]
        parts.append(f"{key}:\n\n{table(header, cells)}")
    return "\n\n".join(parts)


def _sources(runs: Sequence[Run], passed: Sequence[str]) -> dict[str, str]:
    machines = dict.fromkeys(_machine(run.config.get("machine")) for run in runs)
    dates = sorted(str(run.config.get("date", ""))[:10] for run in runs)
    return {
        "run_count": str(len(runs)),
        "machines": "; ".join(machines) or "–",
        "seeds": ", ".join(str(seed) for seed in sorted({run.seed for run in runs})) or "–",
        "dates": " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "–",
        "unfinished": ", ".join(run.name for run in runs if not run.finished) or "none",
        "passed": ", ".join(passed) or "none",
    }


def _run_tables(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "table_3_1": comparison(runs, 40),
        "table_3_2": comparison(runs, 80),
        "table_3_3": ablation(runs),
        "everything": everything(runs),
        "efforts": efforts(runs),
    }


def _evaluation_tables(evaluation: Mapping[str, Any]) -> dict[str, str]:
    if not evaluation:
        names = ("sequences", "coupling", "forecasts", "nll", "brier", "ece", "evaluation_source")
        return dict.fromkeys(names, _NOT_EVALUATED)
    about = {name: evaluation.get(name) for name in ("meetings", "meetings_of_voices", "seed", "settings")}
    source = [f"{name} {_text(value)}" for name, value in about.items() if value is not None]
    return {
        "sequences": social_held_out.sequences(evaluation),
        "coupling": social_held_out.coupling(evaluation),
        "forecasts": social_held_out.forecasts(evaluation),
        **{metric: social_held_out.horizons(evaluation, metric) for metric in ("nll", "brier", "ece")},
        "evaluation_source": "; ".join(
            [str(evaluation.get("date"))[:10], _machine(evaluation.get("machine")), *source]
        ),
    }


def _calibration(evaluation: Mapping[str, Any], figures: Path) -> str:
    path = draw_calibration(evaluation, figures)
    if path is None:
        return "Calibration plot: not evaluated"
    return f"![Calibration]({figures.name}/{path.name})"


def _machine(machine: Any) -> str:
    """One line of what :func:`hmgen_ros.evaluation.machine.machine` gives."""
    if not isinstance(machine, Mapping):
        return str(machine or "unknown machine")
    cores = f"{machine.get('cores', '?')} cores"
    parts = [machine.get("processor"), cores, machine.get("accelerator"), f"PyTorch {machine.get('torch')}"]
    return ", ".join(str(part) for part in parts if part)


def _records(value: Any) -> list[Mapping[str, Any]]:
    """The rows of a list of records, of named records, or of named numbers; none of anything else."""
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return value
    if not isinstance(value, Mapping):
        return []
    if all(isinstance(row, Mapping) for row in value.values()):
        return [{"": name, **row} for name, row in value.items()]
    return [value] if all(isinstance(cell, (int, float)) for cell in value.values()) else []


def _text(value: Any) -> str:
    """A JSON value for readers."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "–" if value is None else str(value)
