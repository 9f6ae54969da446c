"""What checking a database finds: named checks, each with what was compared."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """Such as "embeddings: blobs"."""
    compared: int
    """How many rows, values or pairs."""
    faults: tuple[str, ...]
    """The first of what is wrong, in words; empty when all is well."""
    wrong: int = 0
    """How many are wrong."""

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.faults

    @property
    def told(self) -> str:
        """What was found, in a line."""
        if self.passed:
            return f"{self.compared:,} compared"
        more = f" and {self.wrong - len(self.faults)} more" if self.wrong > len(self.faults) else ""
        return f"{'; '.join(self.faults)}{more}"


@dataclass
class Checking:
    """The checks of one run of a database, made one after the other."""

    where: str
    """What all names begin with."""
    made: list[Check] = field(default_factory=list)

    def check(self, name: str, compared: int, faults: Sequence[str]) -> None:
        """Take what was found."""
        shown = tuple(faults[:_SHOWN])
        self.made.append(Check(f"{self.where}: {name}", compared, shown, len(faults)))

    def equal(self, name: str, found: Any, wanted: Any) -> bool:
        """Take one comparison, and return whether it held."""
        same = bool(found == wanted)
        self.check(name, 1, [] if same else [f"{found}, where {wanted} was expected"])
        return same


def columns_of(opened: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the columns of every table."""
    tables = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        name: {row[1] for row in opened.execute(f"PRAGMA table_info({name})")} for (name,) in tables
    }


def check_frame(opened: sqlite3.Connection, wanted: Sequence[str], checking: Checking) -> bool:
    """Check the file, its tables and where its rows point; return whether its rows can be read.

    `wanted` are the statements that make the tables.
    """
    if problems := _damage(opened):
        checking.check("file", 1, problems)
        return False
    checking.check("file", 1, [])
    fresh = sqlite3.connect(":memory:")
    for statement in wanted:
        fresh.execute(statement)
    found, expected = columns_of(opened), columns_of(fresh)
    fresh.close()
    missing = [
        f"{table} lacks {', '.join(sorted(columns - found.get(table, set())))}"
        for table, columns in expected.items()
        if columns - found.get(table, set())
    ]
    checking.check("tables and columns", sum(map(len, expected.values())), missing)
    broken = opened.execute("PRAGMA foreign_key_check").fetchall()
    rows = [f"row {row[1]} of {row[0]} points to no row of {row[2]}" for row in broken]
    checking.check("references", len(found), rows)
    return not missing


def _damage(opened: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file itself: of a damaged one no row can be trusted."""
    try:
        told = [row[0] for row in opened.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as problem:
        return [str(problem)]
    return [] if told == ["ok"] else told
