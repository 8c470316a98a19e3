"""The suite fails if a guard of the state machine is weakened; PROOF=1 tries every mutant."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.faults.mutant import Mutant
from tests.faults.mutants import LAYERS, MUTANTS, ROOT, seconds_to_red, weakened
from tests.faults.world import SEED, WHOLE

CHOSEN = random.Random(SEED).sample(MUTANTS, len(MUTANTS) if WHOLE else 1)


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name)
def test_the_suite_fails_for_a_mutant(tmp_path: Path, mutant: Mutant) -> None:
    sys.stdout.write(f"\nSEED={SEED}\n")
    project = weakened(mutant, tmp_path / "project")
    assert any(seconds_to_red(project, tests) for tests in LAYERS.values()), (
        f"no test failed although {mutant.name}"
    )


def test_every_mutant_still_fits_the_code() -> None:
    for mutant in MUTANTS:
        for file, old, new in mutant.edits:
            assert (ROOT / file).read_text().count(old) == 1, f"{mutant.name}: {file}"
            assert old != new
