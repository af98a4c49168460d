"""What is wrong with a listener's certificate is said at the start, with the file that is to blame."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from genai_spine.security.certificates import ListenerCertificate
from tests.certificates import NOW, Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def problem(certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    with pytest.raises(ValueError, match=re.escape(": ")) as caught:
        ListenerCertificate(certificate, key, client_ca).read()
    return str(caught.value)


def test_a_good_one_is_read_with_its_end(authority: Authority) -> None:
    until = (NOW + timedelta(days=40)).replace(microsecond=0)
    certificate, key = authority.issue("server", until=until)
    found = ListenerCertificate(certificate, key, authority.file)
    assert found.read().certificate == certificate.read_bytes()
    assert found.expires_at() == until
    assert found.warning is None


def test_one_out_of_its_time_is_refused(authority: Authority) -> None:
    past = authority.issue("past", since=NOW - timedelta(days=9), until=NOW - timedelta(days=2))
    assert problem(*past) == f"{past[0]}: has expired"
    future = authority.issue("future", since=NOW + timedelta(days=2))
    assert problem(*future) == f"{future[0]}: is not valid yet"


def test_the_key_of_another_one_is_refused(authority: Authority) -> None:
    certificate, _ = authority.issue("one")
    _, other = authority.issue("two")
    assert problem(certificate, other) == f"{other}: is not the key of {certificate}"


def test_files_that_hold_something_else_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server")
    text = tmp_path / "text"
    text.write_text("hello")
    empty = tmp_path / "empty"
    empty.touch()
    for bad in (text, empty):
        assert problem(bad, key) == f"{bad}: is no certificate in PEM"
        assert problem(certificate, bad) == f"{bad}: is no private key in PEM"
        assert problem(certificate, key, bad) == f"{bad}: is no certificate in PEM"
    gone = tmp_path / "gone"
    assert problem(gone, key) == problem(certificate, gone) == f"{gone}: No such file or directory"
    assert problem(certificate, key, gone) == f"{gone}: No such file or directory"


def test_a_key_that_everybody_can_read_is_told_of(authority: Authority) -> None:
    certificate, key = authority.issue("server")
    key.chmod(0o644)
    assert "chmod o-rwx" in str(ListenerCertificate(certificate, key).warning)


def test_the_key_is_in_no_text(authority: Authority) -> None:
    pem = ListenerCertificate(*authority.issue("server")).read()
    assert "PRIVATE KEY" not in repr(pem)
