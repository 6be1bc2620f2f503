"""Choose how near a name that no table has must be to a saying of one, to be taken for it.

These are `NEAREST` and `AHEAD` of `recipes/ehr_qa/nearest.py`.

    .venv/bin/python scripts/choose_name_guess.py [--sayings 300] [--seed 1]

Sayings of the tables themselves are looked up as if they were not there. Printed for each section: the share for which
something was near enough, and of these the share that is the right thing.
"""

from __future__ import annotations

import argparse
import random

SECTIONS = ("condition", "medication", "observation", "procedure", "immunization", "encounter", "allergy", "report")
NEAR = (0.3, 0.4, 0.5, 0.6, 0.7)
AHEAD = (0.05, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/choose_name_guess.py", description="Choose when a name is guessed.")
    parser.add_argument("--sayings", type=int, default=300, help="of each section")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.sayings, arguments.seed))


def run(count: int, seed: int) -> None:
    from recipes.ehr_qa.nearest import ranked_rows
    from recipes.ehr_qa.sayings import table_of

    for section in SECTIONS:
        table, rng = table_of(section), random.Random(seed)
        found = []
        for own in rng.sample(list(table), min(count, len(table))):
            [first, second] = [*ranked_rows(own, section, but=own), (0.0, None), (0.0, None)][:2]
            found.append((first[0], first[0] - second[0], first[1] in table[own]))
        print(f"{section}, of {len(found)}:")
        for near in NEAR:
            rows = []
            for ahead in AHEAD:
                taken = [right for how_near, before, right in found if how_near >= near and before >= ahead]
                rows.append(
                    f"{ahead:.2f}: {len(taken) / len(found):.2f} taken, {sum(taken) / max(1, len(taken)):.2f} right"
                )
            print(f"  {near:.1f}   " + "   ".join(rows))


if __name__ == "__main__":
    main()
