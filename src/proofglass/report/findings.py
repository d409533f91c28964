"""The headline: a sentence computed from the cells, with its interval and with what it does not show."""

from __future__ import annotations

from proofglass.report.run import Cell, Run
from proofglass.report.tables import utility_cells
from proofglass.report.wording import interval, percent, plural, with_interval


def headline(run: Run) -> list[str]:
    """One to three sentences. The first is the finding; the others put it beside no attack and a defense."""
    judged = [cell for cell in run.find("refuse") if cell.state == "measured"]
    if not judged:
        return [_only_other_sets(run)]
    plain = [cell for cell in judged if not run.undefended or cell.defense in run.undefended]
    attacked = [cell for cell in plain if cell.attack not in run.baselines]
    if not attacked:
        return [_baseline_only(run, plain or judged)]
    worst = max(attacked, key=lambda cell: rate(run, cell))
    others = [_beside_no_attack(run, worst), _best_defense(run, worst, judged)]
    return [_worst(run, worst, attacked), *filter(None, others)]


def rate(run: Run, cell: Cell) -> float:
    return cell.rates[run.success]["value"]


def _worst(run: Run, worst: Cell, attacked: list[Cell]) -> str:
    row = worst.rates[run.success]
    behind = "" if worst.defense in run.undefended else f" behind {worst.defense}"
    if row["value"] == 0:
        return (
            f"No attack broke a victim on any of {plural(len(attacked), 'cell')}{behind}; with n = {row['n']} a rate "
            f"up to {percent(row['high'], row['n'])} cannot be excluded."
        )
    chosen = (
        "the only attacked cell without a defense"
        if len(attacked) == 1
        else f"the highest of {len(attacked)} attacked cells without a defense, picked after the fact"
    )
    if behind:
        chosen = chosen.replace(" without a defense", "")
    return (
        f"{worst.attack} broke {worst.victim}{behind} on {percent(row['value'], row['n'])} of {worst.dataset} "
        f"(95 % interval {interval(row)}, n = {row['n']}): {chosen}."
    )


def _beside_no_attack(run: Run, worst: Cell) -> str:
    for cell in run.find("refuse", victim=worst.victim, defense=worst.defense, dataset=worst.dataset):
        if cell.attack in run.baselines and cell.state == "measured":
            return f"Without an attack the same victim gave in on {with_interval(cell.rates[run.success])}."
    return ""


def _best_defense(run: Run, worst: Cell, judged: list[Cell]) -> str:
    same = [
        cell
        for cell in judged
        if (cell.victim, cell.attack, cell.dataset) == (worst.victim, worst.attack, worst.dataset)
        and cell.defense not in run.undefended
    ]
    if not same or worst.defense not in run.undefended or rate(run, worst) == 0:
        return ""
    best = min(same, key=lambda cell: rate(run, cell))
    prices = [_price(run, worst, best, dataset) for dataset in run.sets("comply")]
    told = " and ".join(price for price in prices if price)
    price = f"; compliance went {told}" if told else "; what it costs in usefulness was not measured"
    static = " The attack was static: it did not know the defense." if best.crafted == "static" else ""
    verb = "fell to" if rate(run, best) < rate(run, worst) else "was not lower:"
    return f"Behind {best.defense} it {verb} {with_interval(best.rates[run.success])}{price}.{static}"


def _price(run: Run, plain: Cell, defended: Cell, dataset: str) -> str:
    """How compliance on this benign or borderline data set moved. All sets are told: one alone can flatter."""
    useful = {
        cell.defense: cell.rates[run.success]
        for cell in reversed(utility_cells(run))
        if (cell.victim, cell.dataset, cell.state) == (plain.victim, dataset, "measured")
    }
    if plain.defense not in useful or defended.defense not in useful:
        return ""
    before, after = with_interval(useful[plain.defense]), with_interval(useful[defended.defense])
    return f"from {before} to {after} on {dataset}"


def _baseline_only(run: Run, cells: list[Cell]) -> str:
    worst = max(cells, key=lambda cell: rate(run, cell))
    among = "the only cell" if len(cells) == 1 else f"the highest of {len(cells)} cells"
    return (
        f"Without any attack, {worst.victim} gave in on {with_interval(worst.rates[run.success])} of {worst.dataset} "
        f"(n = {worst.rates[run.success]['n']}), {among}; no attack was measured."
    )


def _only_other_sets(run: Run) -> str:
    other = [cell for cell in run.cells if cell.state == "measured"]
    if not other:
        return "Nothing was measured: no cell of this run holds a judged sample."
    return (
        f"{plural(len(other), 'cell')} measured, none on requests that a safe model refuses: this run says nothing "
        "about attack success."
    )
