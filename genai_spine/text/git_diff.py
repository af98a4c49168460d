"""Git diff: changed files of a diff, grouped by scope, and tags for what they are about."""

import re
from collections.abc import Iterable, Iterator

from genai_spine.v1 import capability_service_pb2 as pb

MAX_TAGS = 5
TRANSPARENT = frozenset(("src", "app", "lib"))
ROOT = "root"
HEADER = re.compile(r'^diff --git "?a/(?P<old>.+?)"? "?b/(?P<new>.+?)"?$')
SAME_NAME = re.compile(r"^diff --git a/(?P<name>.+) b/(?P=name)$")
OLD = re.compile(r'^--- "?(?:a/)?(?P<path>[^"\t]+)')
NEW = re.compile(r'^\+\+\+ "?(?:b/)?(?P<path>[^"\t]+)')
NOWHERE = "/dev/null"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Tag -> words of a path that suggest it, and beginnings of words.
OF_PATHS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "tests": (frozenset(), ("test",)),
    "documentation": (frozenset(("doc", "docs")), ("documentation",)),
    "api": (frozenset(("api", "apis")), ()),
    "database": (frozenset(("db", "storage", "database", "databases")), ()),
    "configuration": (frozenset(), ("config", "setting")),
    "frontend": (frozenset(("ui",)), ("frontend", "component")),
}
OF_MESSAGES: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "bugfix": (frozenset(("fix", "fixes", "fixed", "fixing", "bug", "bugs", "bugfix", "hotfix")), ()),
    "feature": (frozenset(("feat", "add", "adds", "added", "adding")), ("feature",)),
    "refactor": (frozenset(), ("refactor",)),
}


def files_of(diff: str) -> list[pb.ChangedFile]:
    """The files that a diff in git's form, or a plain unified one, names in its headers."""
    return [file for file in map(_file, _sections(diff)) if file]


def _sections(diff: str) -> Iterator[list[str]]:
    """The lines of each file."""
    section: list[str] = []
    in_git = False
    for line in diff.splitlines():
        is_git = line.startswith("diff --git ")
        in_git = in_git or is_git
        # A plain diff has no line of its own before "---"; within a hunk it would be a removed "-- ".
        if is_git or (not in_git and OLD.match(line) and not _awaits_new(section)):
            if section:
                yield section
            section = []
        section.append(line)
    if section:
        yield section


def _awaits_new(section: list[str]) -> bool:
    return bool(section) and section[-1].startswith("@@")


def _file(lines: list[str]) -> pb.ChangedFile | None:
    old = new = ""
    status = "modified"
    for line in lines:
        if line.startswith("@@"):
            break
        if named := SAME_NAME.match(line):
            old = new = named["name"]
        elif named := HEADER.match(line):
            old, new = named["old"], named["new"]
        elif named := OLD.match(line):
            old = named["path"].strip()
        elif named := NEW.match(line):
            new = named["path"].strip()
        elif line.startswith("new file mode"):
            status = "added"
        elif line.startswith("deleted file mode"):
            status = "deleted"
        elif line.startswith(("rename from ", "rename to ")):
            status = "renamed"
    if old == NOWHERE:
        status = "added"
    elif new == NOWHERE:
        status, new = "deleted", old
    path = new or old
    return pb.ChangedFile(path=path, status=status, diff="\n".join(lines)) if path else None


def scope(path: str) -> str:
    """Scope of a path: its first part, or the second behind src, app or lib."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) < 2:
        return ROOT
    return parts[1] if parts[0] in TRANSPARENT else parts[0]


def groups(files: Iterable[pb.ChangedFile]) -> list[pb.FeatureGroup]:
    """The files by scope, in the order in which the scopes come up."""
    by_scope: dict[str, list[pb.ChangedFile]] = {}
    for file in files:
        by_scope.setdefault(scope(file.path), []).append(file)
    return [
        pb.FeatureGroup(scope=name, description=_described(inside), files=[file.path for file in inside])
        for name, inside in by_scope.items()
    ]


def _described(files: list[pb.ChangedFile]) -> str:
    counts: dict[str, int] = {}
    for file in files:
        counts[file.status] = counts.get(file.status, 0) + 1
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{counted} file{'s' if len(files) > 1 else ''}"


def tags(paths: Iterable[str], message: str) -> list[str]:
    """Tags of paths and a commit message, sorted, at most MAX_TAGS."""
    found = set(_suggested(message, OF_MESSAGES))
    for path in paths:
        found |= set(_suggested(path, OF_PATHS))
        if path.lower().endswith(".md"):
            found.add("documentation")
    return sorted(found)[:MAX_TAGS]


def _suggested(text: str, table: dict[str, tuple[frozenset[str], tuple[str, ...]]]) -> Iterator[str]:
    words = [word.lower() for word in WORD.findall(text)]
    for tag, (whole, beginnings) in table.items():
        if any(word in whole or word.startswith(beginnings) for word in words):
            yield tag
