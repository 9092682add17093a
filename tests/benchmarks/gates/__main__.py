"""`python -m tests.benchmarks.gates --data-dir FOLDER`: decisions of the gates, compared with a plain threshold.

Models are trained on a third of MNIST's train split; the rest is the population, on which their true accuracy is known
and from which test sets are drawn. FOLDER: the data directory of TFDS. --quick: simulated models, in seconds.
"""

import argparse
import os

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.__main__ import show
from tests.benchmarks.gates import families
from tests.benchmarks.gates.population import CLOSE, Model, digits, simulated, trained
from tests.benchmarks.gates.simulation import BUDGET, COUNT, PAIRED, Gate, Lost, chain, draws, pair, paired, threshold

EFFECTS = (0.005, 0.002, 0.0, -0.001, -0.002, -0.003, -0.005, -0.01)
KINDS = ("the same, with noise", "fewer epochs", "another seed")
SEEDS = 3


def candidates_and_baselines(
    kind: str, models: list[tuple[Model, Model]], rng: np.random.Generator
) -> list[tuple[Model, Model]]:
    """Candidate and baseline of each seed, before one of them is degraded."""
    if kind == KINDS[0]:
        return [(late.degraded(0.001, rng), late.degraded(0.001, rng)) for _, late in models]
    if kind == KINDS[1]:
        return list(models)
    return [(models[i - 1][1], late) for i, (_, late) in enumerate(models)]


def measure(
    models: list[tuple[Model, Model]], gates: dict[str, Gate], number: int, seed: int
) -> dict[tuple[str, float], dict[str, float]]:
    """Share of test sets on which each gate pushes the candidate, by kind and effect, and the pair's `discordance`."""
    rng, shares = np.random.default_rng(seed), {}
    for kind in KINDS:
        starts = candidates_and_baselines(kind, models, rng)
        for effect in EFFECTS:
            pairs = [pair(*start, effect, rng) for start in starts]
            tests = np.concatenate([draws(a.right, b.right, -(-number // len(pairs)), rng) for a, b in pairs])
            shares[kind, effect] = {name: float(np.mean([gate(row) for row in tests])) for name, gate in gates.items()}
            shares[kind, effect]["discordance"] = float(np.mean([(a.right != b.right).mean() for a, b in pairs]))
    return shares


def table(shares: dict[tuple[str, float], dict[str, float]], gates: dict[str, Gate], number: int) -> Table:
    """Error rates: how often a worse model was pushed, or one that is not worse was refused."""
    table_ = Table(
        "candidate and baseline",
        "truly",
        "discordant",
        "error",
        *gates,
        title=f"{number:,} test sets of {COUNT:,} images",
    )
    for (kind, effect), row in shares.items():
        errors = [row[name] if effect < 0 else 1 - row[name] for name in gates]
        cells = [f"{100 * error:.1f} ± {100 * (error * (1 - error) / number) ** 0.5:.1f} %" for error in errors]
        label = kind if effect == EFFECTS[0] else ""
        table_.add_row(
            label,
            f"{100 * effect:+.1f}",
            f"{100 * row['discordance']:.2f} %",
            "pushed" if effect < 0 else "refused",
            *cells,
            end_section=effect == EFFECTS[-1],
        )
    return table_


Rules = dict[str, tuple[Gate, Gate | None]]


def chains_by_rule(
    models: list[tuple[Model, Model]], rules: Rules, number: int, generations: int, seed: int
) -> dict[str, list[Lost]]:
    """The loss of each chain by rule. All rules see the same test set in each chain."""

    def ends(gate: Gate, budget: Gate | None) -> list[Lost]:
        starts = [models[i % len(models)][1] for i in range(number)]
        return [
            chain(first, np.random.default_rng([seed, i]), gate, budget, generations=generations)
            for i, first in enumerate(starts)
        ]

    return {name: ends(*rule) for name, rule in rules.items()}


def line_table(lost: dict[str, list[Lost]], budget: float, generations: int) -> Table:
    title = f"{generations} generations, each truly 0.1 point worse than what is served"
    table_ = Table("gates", "points lost, mean", "worst", "pushed, mean", "chains within budget", title=title)
    for name, ends in lost.items():
        points = [100 * end.accuracy for end in ends]
        within = f"{sum(end.accuracy <= budget + CLOSE for end in ends)} of {len(ends)}"
        table_.add_row(
            name, f"{np.mean(points):.2f}", f"{max(points):.2f}", f"{np.mean([end.pushed for end in ends]):.1f}", within
        )
    return table_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=None, help="the data directory of TFDS")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--margin", type=float, default=PAIRED.margin)
    parser.add_argument("--alpha", type=float, default=PAIRED.alpha)
    parser.add_argument("--budget", type=float, default=BUDGET.margin)
    parser.add_argument(
        "--budget-alpha",
        type=float,
        default=BUDGET.alpha,
        help="smaller, because every generation is another test on the same test set",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of models, test sets and chains")
    bench(**vars(parser.parse_args()))


def bench(
    data_dir: str | None = None,
    quick: bool = False,
    margin: float = PAIRED.margin,
    alpha: float = PAIRED.alpha,
    budget: float = BUDGET.margin,
    budget_alpha: float = BUDGET.alpha,
    seed: int = 0,
) -> None:
    console, (number, chains, generations) = Console(width=120), (90, 3, 10) if quick else (2001, 24, 50)
    train_split = None if quick else digits(data_dir)
    models = []
    for model_seed in range(seed * SEEDS, (seed + 1) * SEEDS):
        early, late = trained(train_split, model_seed) if train_split else simulated(model_seed)
        models.append((early, late))
        console.print(f"seed {model_seed}: accuracy {early.accuracy:.4f}, with more epochs {late.accuracy:.4f}")
    paired_only, with_budget, threshold_only = (
        f"paired, {margin:g}",
        f"paired, {margin:g}, and budget, {budget:g}",
        "drop ≤ 0.002",
    )
    gates = {paired_only: paired(margin, alpha), threshold_only: threshold(0.002), "drop ≤ 0.004": threshold(0.004)}
    shares = measure(models, gates, number, seed)
    console.print(table(shares, gates, number))
    rules: Rules = {
        with_budget: (gates[paired_only], paired(budget, budget_alpha)),
        paired_only: (gates[paired_only], None),
        threshold_only: (gates[threshold_only], None),
    }
    lost = chains_by_rule(models, rules, chains, generations, seed)
    console.print(line_table(lost, budget, generations))
    pushed = max(shares[kind, -0.005][paired_only] for kind in KINDS)
    refused = max(1 - shares[kind, 0.0][paired_only] for kind in KINDS)
    largest_loss = max(end.accuracy for end in lost[with_budget])
    show(
        [
            ("0.5 points worse, yet pushed (worst kind)", f"{100 * pushed:.1f} %", "at most 1 %", pushed <= 0.01),
            ("as good, yet refused (worst kind)", f"{100 * refused:.1f} %", "at most 5 %", refused <= 0.05),
            (
                "points lost by the worst chain",
                f"{100 * largest_loss:.2f}",
                f"at most {100 * budget:g}",
                largest_loss <= budget + CLOSE,
            ),
            *families.bench(console, 200 if quick else 10_000, seed),
        ]
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
