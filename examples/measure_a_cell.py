"""Two attacks x two defenses in ten lines, every rate with its 95 % interval."""

import proofglass as pg

victim = pg.victim("testbed-linear")
requests = pg.dataset("testbed", part="restricted", n=20)
for attack in ("no-attack", "figstep"):
    for defense in (pg.defense("none"), pg.defense("self-moderation", rounds=1)):
        rates = pg.measure(victim, attack, requests, defense, judges=["testbed-content"])
        for judge, rate in rates.items():
            print(attack, defense.name, judge, rate.value, f"[{rate.low:.2f}, {rate.high:.2f}]", f"n={rate.n}")
