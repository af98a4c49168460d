"""Egress: which address goes by which proxy, and what cannot be an egress."""

from base64 import b64encode
from pathlib import Path

import pytest

from genai_spine.providers.http.egress import Egress, Proxy, of_environment

HERE = Path(__file__).parent
PROXY = "http://proxy.corp:3128"
OURSELVES = ["localhost", "LOCALHOST.", "api.localhost", "127.0.0.1", "127.9.9.9", "127.1", "::1"]
OURSELVES += ["::ffff:127.0.0.1", "0.0.0.0", "::", "0:0:0:0:0:0:0:1"]


class TestProxy:
    @pytest.mark.parametrize(
        ("url", "host", "port", "tls"),
        [
            ("http://proxy.corp:3128", "proxy.corp", 3128, False),
            ("https://proxy.corp", "proxy.corp", 443, True),
            ("proxy.corp:8080", "proxy.corp", 8080, False),
            ("http://[2001:db8::1]:3128/", "2001:db8::1", 3128, False),
            ("HTTP://10.0.0.1", "10.0.0.1", 80, False),
        ],
    )
    def test_a_url_names_host_port_and_whether_it_speaks_tls(
        self, url: str, host: str, port: int, tls: bool
    ) -> None:
        assert Proxy.of(url) == Proxy(host, port, tls)

    def test_credentials_are_decoded_and_shown_nowhere(self) -> None:
        proxy = Proxy.of("http://us%40er:p%3Ass@proxy.corp:3128")
        assert proxy.authorization == f"Basic {b64encode(b'us@er:p:ss').decode()}"
        assert str(proxy) == "proxy proxy.corp:3128"
        assert "Basic" not in repr(proxy)
        assert "p%3Ass" not in repr(Egress().by("http://us%40er:p%3Ass@proxy.corp:3128"))

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("socks5://secret:secret@proxy.corp:1080", "socks5:// is not supported"),
            ("socks5h://secret:secret@proxy.corp", "socks5h:// is not supported"),
            ("socks4a://secret:secret@proxy.corp", "socks4a:// is not supported"),
            ("http://secret:secret@proxy.corp:nan", "not the URL of a proxy"),
            ("http://secret:secret@", "not the URL of a proxy"),
            ("http://[::1", "not the URL of a proxy"),
        ],
    )
    def test_what_is_no_http_proxy_is_refused_without_its_password(self, url: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem) as caught:
            Egress().by(url).check()
        assert "secret" not in str(caught.value)


class TestExemptions:
    @pytest.mark.parametrize(
        ("no_proxy", "host", "port"),
        [
            ("*", "api.example.com", 443),
            ("example.com", "api.example.com", 443),
            ("example.com", "example.com", 443),
            (".example.com", "api.example.com", 443),
            (".example.com", "example.com", 443),
            ("*.example.com", "api.example.com", 443),
            ("EXAMPLE.com", "API.example.COM.", 443),
            ("a.test, example.com b.test", "example.com", 443),
            ("example.com:8443", "example.com", 8443),
            ("10.0.0.0/8", "10.20.30.40", 80),
            ("10.20.30.40", "10.20.30.40", 80),
            ("10.20.30.40:80", "10.20.30.40", 80),
            ("fd00::/8", "fd00::1", 80),
            ("[fd00::1]:80", "fd00::1", 80),
            ("fd00::1", "fd00:0::1", 80),
            ("10.0.0.0/8", "::ffff:10.0.0.1", 80),
            ("10.0.0.0/8:8080", "10.1.2.3", 8080),
            ("[fd00::]/8", "fd12::1", 443),
            ("[fd00::/8]:443", "fd12::1", 443),
            ("*:443", "b.test", 443),
            ("http://b.test:8080/", "b.test", 8080),
            ("a.test;b.test", "b.test", 443),
            ("a.test\n b.test", "b.test", 443),
            ("münchen.test", "xn--mnchen-3ya.test", 443),
            ("xn--mnchen-3ya.test", "MÜNCHEN.test", 443),
        ],
    )
    def test_an_entry_exempts_what_it_names(self, no_proxy: str, host: str, port: int) -> None:
        way = Egress(PROXY, PROXY, no_proxy)
        assert way.proxy("https", host, port) is None

    @pytest.mark.parametrize(
        ("no_proxy", "host", "port"),
        [
            ("", "api.example.com", 443),
            ("example.com", "badexample.com", 443),
            ("api.example.com", "example.com", 443),
            ("example.com:8443", "example.com", 443),
            ("10.0.0.0/8", "11.0.0.1", 80),
            ("10.0.0.0/8", "ten.example.com", 80),
            ("10.0.0.0/99", "10.0.0.1", 80),
            ("0.0.0.1", "10.0.0.1", 80),
            (".", "example.com", 443),
            ("[fd00::1]:81", "fd00::1", 80),
            ("10.0.0.0/8:8080", "10.1.2.3", 443),
            ("[fd00::/8]:8080", "fd12::1", 443),
            ("*:8080", "b.test", 443),
            ("http://a.test", "b.test", 443),
        ],
    )
    def test_an_entry_exempts_nothing_else(self, no_proxy: str, host: str, port: int) -> None:
        way = Egress(PROXY, PROXY, no_proxy)
        assert way.proxy("http", host, port) == Proxy("proxy.corp", 3128)

    @pytest.mark.parametrize("host", OURSELVES)
    def test_this_machine_is_never_asked_by_a_proxy(self, host: str) -> None:
        assert Egress().by(PROXY).proxy("http", host, 11434) is None


class TestEnvironment:
    def test_each_scheme_has_its_variable(self) -> None:
        way = of_environment({"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2", "NO_PROXY": "c.test"})
        assert way.proxy("http", "x.test", 80) == Proxy("a", 1)
        assert way.proxy("https", "x.test", 443) == Proxy("b", 2)
        assert way.proxy("https", "c.test", 443) is None

    def test_lower_case_wins_and_what_is_empty_is_not_there(self) -> None:
        way = of_environment({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2", "http_proxy": ""})
        assert way.proxy("https", "x.test", 443) == Proxy("low", 1)
        assert way.proxy("http", "x.test", 80) is None

    def test_all_proxy_stands_for_what_has_none(self) -> None:
        way = of_environment({"ALL_PROXY": "http://all:1", "https_proxy": "http://own:2"})
        assert way.proxy("http", "x.test", 80) == Proxy("all", 1)
        assert way.proxy("https", "x.test", 443) == Proxy("own", 2)


class TestTls:
    def test_the_system_is_trusted_beside_the_ca_file(self) -> None:
        alone, more = Egress().tls(), Egress(ca_file=HERE / "localhost.pem").tls()
        assert more.cert_store_stats()["x509"] == alone.cert_store_stats()["x509"] + 1

    def test_equal_files_are_read_once(self) -> None:
        assert Egress(ca_file=HERE / "localhost.pem").tls() is Egress(ca_file=HERE / "localhost.pem").tls()

    @pytest.mark.parametrize("name", ["ca_file", "client_certificate", "client_key"])
    def test_a_file_that_is_not_there_is_named(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"nothing\.pem: No such file"):
            Egress(**{name: tmp_path / "nothing.pem"}).check()

    @pytest.mark.parametrize("name", ["ca_file", "client_certificate", "client_key"])
    def test_a_file_that_holds_something_else_is_named(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "words.pem").write_text("words")
        with pytest.raises(ValueError, match=r"words\.pem: "):
            Egress(**{name: tmp_path / "words.pem"}).check()
