"""Files of a diff, their scopes and tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.text.git_diff import files_of, groups, scope, tags
from genai_spine.v1 import capability_service_pb2 as pb


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("README.md", "root"),
        ("api/users.py", "api"),
        ("src/storage/rows.py", "storage"),
        ("app/ui/page.tsx", "ui"),
        ("lib/core.rb", "core.rb"),
        ("docs/api/x.md", "docs"),
        ("./api/x.py", "api"),
        ("/etc/hosts", "etc"),
    ],
)
def test_scope_is_the_first_part_or_the_second_behind_a_source_folder(path: str, expected: str) -> None:
    assert scope(path) == expected


@pytest.mark.parametrize(
    ("paths", "message", "expected"),
    [
        (["tests/test_a.py"], "", ["tests"]),
        (["docs/a.rst"], "", ["documentation"]),
        (["a/NOTES.MD"], "", ["documentation"]),
        (["src/api/a.py"], "", ["api"]),
        (["src/storage/a.py"], "", ["database"]),
        (["db/a.sql"], "", ["database"]),
        (["database/a.sql"], "", ["database"]),
        (["config.yaml"], "", ["configuration"]),
        (["app/settings_local.py"], "", ["configuration"]),
        (["frontend/a.ts"], "", ["frontend"]),
        (["ui/a.ts"], "", ["frontend"]),
        (["src/ButtonComponent.tsx"], "", ["frontend"]),
        (["src/ApiClient.ts"], "", ["api"]),
        (["feedback/build.py", "capital.py", "docker/x"], "", []),
        ([], "fix: crash", ["bugfix"]),
        ([], "Squash a bug", ["bugfix"]),
        ([], "feat: lines", ["feature"]),
        ([], "New feature", ["feature"]),
        ([], "Add lines", ["feature"]),
        ([], "Refactor rows", ["refactor"]),
        ([], "Change the address of the prefix", []),
        (
            ["tests/a", "docs/a", "api/a", "db/a", "config/a", "ui/a"],
            "fix: add",
            ["api", "bugfix", "configuration", "database", "documentation"],
        ),
    ],
)
def test_tags_come_from_words_and_are_sorted_and_five_at_most(
    paths: list[str], message: str, expected: list[str]
) -> None:
    assert tags(paths, message) == expected


def shown(diff: str) -> list[tuple[str, str]]:
    return [(file.path, file.status) for file in files_of(diff)]


def test_status_is_read_from_the_headers_of_git() -> None:
    diff = """\
diff --git a/new.py b/new.py
new file mode 100644
--- /dev/null
+++ b/new.py
@@ -0,0 +1 @@
+x
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/old name.py b/new name.py
similarity index 100%
rename from old name.py
rename to new name.py
diff --git a/image.png b/image.png
Binary files a/image.png and b/image.png differ
diff --git a/a b/c.py b/a b/c.py
index 1..2 100644
--- a/a b/c.py
+++ b/a b/c.py
@@ -1,2 +1,2 @@
--- a comment of SQL
+++ b plus
"""
    assert shown(diff) == [
        ("new.py", "added"),
        ("gone.py", "deleted"),
        ("new name.py", "renamed"),
        ("image.png", "modified"),
        ("a b/c.py", "modified"),
    ]
    assert files_of(diff)[0].diff.startswith("diff --git a/new.py")


def test_plain_diff_has_files_too() -> None:
    diff = """\
--- a/one.py\t2026-01-01
+++ b/one.py\t2026-01-02
@@ -1 +1 @@
-a
+b
--- /dev/null
+++ b/two.py
@@ -0,0 +1 @@
+c
"""
    assert shown(diff) == [("one.py", "modified"), ("two.py", "added")]


@pytest.mark.parametrize("diff", ["", "no diff", "+a\n-b", "--- \n+++ "])
def test_text_without_headers_has_no_files(diff: str) -> None:
    assert files_of(diff) == []


@given(st.text(alphabet=st.sampled_from('diff --git a/b"+-@\n\trename from')))
def test_any_text_is_read_without_a_fault(diff: str) -> None:
    assert all(file.path for file in files_of(diff))


def test_groups_say_what_happened() -> None:
    changed = [
        pb.ChangedFile(path="api/a.py", status="added"),
        pb.ChangedFile(path="x.py", status="modified"),
        pb.ChangedFile(path="api/b.py", status="modified"),
        pb.ChangedFile(path="api/c.py", status="modified"),
    ]
    assert [(group.scope, group.description, list(group.files)) for group in groups(changed)] == [
        ("api", "1 added, 2 modified files", ["api/a.py", "api/b.py", "api/c.py"]),
        ("root", "1 modified file", ["x.py"]),
    ]
