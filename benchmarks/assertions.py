"""Assertions: a fault is planted for each, and the assertion must say so."""

from __future__ import annotations

from benchmarks.tables import parse_arguments, write_table
from tests.planted_faults import FAULTS, said_of
from tests.tiny_student import shared_folder


def main() -> None:
    """Plant every fault and write the table."""
    arguments = parse_arguments(__doc__ or "")
    said = [said_of(fault).replace(str(shared_folder()), "FOLDER") for fault in FAULTS]
    fired = [fault.says in words for fault, words in zip(FAULTS, said, strict=True)]
    write_table(
        "assertions",
        title="Assertions and their planted faults",
        columns=["assertion", "planted fault", "fires", "what it says"],
        rows=[
            [fault.assertion, (fault.plant.__doc__ or "").strip(), "yes" if fires else "no", words.split("; ")[0]]
            for fault, fires, words in zip(FAULTS, fired, said, strict=True)
        ],
        result={"planted": len(FAULTS), "fired": sum(fired)},
        notes=["The students are tiny and random, of the real classes Idefics3 and PaliGemma."],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
