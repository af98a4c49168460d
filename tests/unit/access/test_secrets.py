"""Root secret: how it is written, where it is found, and the keys that are derived from it."""

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from genai_spine.access import secrets

HEX, OTHER = "ab" * 32, "cd" * 32


def test_derivation_is_hkdf_as_its_standard_computes_it():
    """Test case 1 of RFC 5869, appendix A.1, of which the first 32 bytes are made here."""
    key = secrets.hkdf(
        bytes.fromhex("0b" * 22),
        bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"),
        bytes.fromhex("000102030405060708090a0b0c"),
    )
    assert key.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_each_purpose_has_a_key_of_its_own():
    root = secrets.parsed(HEX)
    [audit], [other] = root.keys(secrets.AUDIT), root.keys("webhooks")
    assert len(audit) == len(other) == 32
    assert len({audit, other, bytes.fromhex(HEX)}) == 3


def test_two_are_valid_while_it_is_rotated():
    both = secrets.parsed(f"{HEX},{OTHER}").keys("x")
    assert both == [*secrets.parsed(HEX).keys("x"), *secrets.parsed(OTHER).keys("x")]


@pytest.mark.parametrize("text", ["q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=", f" {HEX}\n", HEX.upper()])
def test_it_is_hexadecimal_or_base64(text: str):
    assert secrets.parsed(text).keys("x") == secrets.parsed(HEX).keys("x")


@pytest.mark.parametrize(
    "text", ["", "secret", HEX[:-1], HEX + "00", f"{HEX},{HEX},{HEX}", "é" * 32, "%" * 64]
)
def test_what_is_none_is_refused_and_not_repeated(text: str):
    with pytest.raises(ValueError, match="must be") as caught:
        secrets.parsed(text)
    assert not text or text not in str(caught.value)


def test_nothing_shows_it():
    assert HEX not in repr(secrets.parsed(HEX))
    assert "\\xab" not in repr(secrets.parsed(HEX))


class TestFile:
    def test_one_is_made_once_and_for_its_owner_alone(self, tmp_path: Path):
        url = f"sqlite:///{tmp_path}/data/spine.db"
        made = secrets.create_beside(url)
        assert made == tmp_path / "data" / "secret.key"
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        before = made.read_text()
        assert secrets.create_beside(url) is None
        assert made.read_text() == before
        assert [path.name for path in made.parent.iterdir()] == ["secret.key"]

    def test_none_is_made_beside_another_database(self):
        assert secrets.create_beside("postgresql://u@h/d") is None
        assert secrets.create_beside("sqlite://") is None

    async def test_of_several_processes_one_makes_it(self, tmp_path: Path):
        program = (
            "import sys; from genai_spine.access import secrets as s; print(s.create_beside(sys.argv[1]))"
        )
        url = f"sqlite:///{tmp_path}/spine.db"
        starts = [
            asyncio.create_subprocess_exec(sys.executable, "-c", program, url, stdout=subprocess.PIPE)
            for _ in range(4)
        ]
        outputs = [(await process.communicate())[0].strip() for process in await asyncio.gather(*starts)]
        assert sorted(outputs) == sorted([*[b"None"] * 3, f"{tmp_path}/secret.key".encode()])


class TestFound:
    def test_a_setting_wins_then_a_file_then_the_one_beside(self, tmp_path: Path):
        url = f"sqlite:///{tmp_path}/spine.db"
        assert secrets.found(None, None, url) is None
        (tmp_path / "secret.key").write_text(OTHER)
        file = tmp_path / "elsewhere"
        file.write_text(f"{HEX}\n{OTHER}\n")
        keys = [
            found.keys("x")[0]
            for found in (
                secrets.found(HEX, None, url),
                secrets.found(None, file, url),
                secrets.found(None, None, url),
            )
            if found
        ]
        hexadecimal, other = secrets.parsed(HEX).keys("x"), secrets.parsed(OTHER).keys("x")
        assert keys == [*hexadecimal, *hexadecimal, *other]

    def test_postgresql_has_none_of_its_own(self):
        assert secrets.found(None, None, "postgresql://u@h/d") is None

    def test_a_database_in_memory_has_one_as_long_as_it_lives(self):
        first, second = (secrets.found(None, None, "sqlite://") for _ in range(2))
        assert first is not None
        assert second is not None
        assert first.keys("x") != second.keys("x")

    def test_what_is_wrong_is_named(self, tmp_path: Path):
        with pytest.raises(ValueError, match=r"^GENAI_SECRET_KEY: must be 32 bytes"):
            secrets.found("short", None, "sqlite://")
        (tmp_path / "key").write_text("short")
        with pytest.raises(ValueError, match=rf"^{tmp_path}/key: must be 32 bytes"):
            secrets.found(None, tmp_path / "key", "sqlite://")
        with pytest.raises(FileNotFoundError):
            secrets.found(None, tmp_path / "absent", "sqlite://")
