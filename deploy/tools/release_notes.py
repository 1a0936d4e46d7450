"""Prints the changelog's section of a version, for the notes of a release. Ends with status 1 if there is none."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def notes_of(changelog: str, version: str) -> str | None:
    """The text below `## <version>`, with or without a date behind it, up to the next version; None without one."""
    heading = re.compile(rf"^## \[?{re.escape(version)}\]?(?:\s.*)?$", re.MULTILINE)
    found = heading.search(changelog)
    if found is None:
        return None
    rest = changelog[found.end() :]
    following = re.search(r"^## ", rest, re.MULTILINE)
    return rest[: following.start() if following else None].strip() or None


def main(version: str) -> int:
    notes = notes_of(CHANGELOG.read_text(encoding="utf-8"), version)
    if notes is None:
        sys.stderr.write(f"CHANGELOG.md has no section {version}: rename `## Unreleased`\n")
        return 1
    sys.stdout.write(notes + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
