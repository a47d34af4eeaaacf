"""Only addresses of the public internet are anybody's; every other way to write one is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.errors import MediaError
from qwenvl_kit.media.web.addresses import is_public
from qwenvl_kit.media.web.urls import parse_url

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.255.255.254", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1",
    "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:7f00:1", "5f00::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
          "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_everybodys_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@settings(deadline=None)
@given(st.ip_addresses())
def test_what_python_holds_for_private_is_never_public(address) -> None:  # type: ignore[no-untyped-def]
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        in_nat64 = address.version == 6 and address in ipaddress.IPv6Network("64:ff9b::/96")
        assert not is_public(address) or in_nat64


@pytest.mark.parametrize(
    "url",
    [
        "http://0x7f.0.0.1/", "http://0x7f000001/", "http://2130706433/", "http://017700000001/",
        "http://127.1/", "http://127.0.1/", "http://0177.0.0.1/", "http://127.0.0.01/",
        "http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://0/",
        "http://127.0.0.1.5/", "http://256.1.1.1/", "http://1.2.3.4294967296/",
        "http://a@127.0.0.1/", "http://good.example:80@127.0.0.1/", "http://:p@a.example/",
        "http://good.example\\@127.0.0.1/", "http://127.0.0.1\t/", "http://127.0.\n0.1/",
        " http://127.0.0.1/", "http://a b.example/", "http://%31%32%37.0.0.1/",
        "http://a.example%2f@b.example/", "http://[::1/", "http://::1/", "http://[1::2::3]/",
        "http://[fe80::1%25eth0]/", "http://[::ffff:127.0.0.1%251]/", "http:///a", "http://",
        "http://.example/", "http://a..example/", "http://-a.example/", "http://a.example:99999/",
        "http://a.example:x/", "http://a.example:-1/", "ftp://a.example/", "gopher://a.example/",
        "http:a.example/", "https:/a.example/", "http://" + "a" * 300 + ".example/",
        "http://a.example/" + "b" * 9000, "http://a.example/\x00", "http://a.example/\r\nX: y",
        "http://\u202ea.example/", "http://a.example\u2028/", "http://xn--a\u00ad/",
    ],
)  # fmt: skip
def test_a_url_that_two_readers_could_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(MediaError) as caught:
        parse_url(url)
    assert "p@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown", "target"),
    [
        ("http://a.example", "http://a.example", "/"),
        ("HTTPS://A.Example.:443/b?c=d#e", "https://a.example", "/b?c=d"),
        ("http://a.example:8080/%2e%2e/b", "http://a.example:8080", "/%2e%2e/b"),
        ("http://192.0.2.1/", "http://192.0.2.1", "/"),
        ("http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81", "/"),
        ("http://bücher.example/ä?ö", "http://xn--bcher-kva.example", "/%C3%A4?%C3%B6"),
        ("http://a_b.example/", "http://a_b.example", "/"),
    ],
)
def test_a_url_is_read_as_everybody_reads_it(url: str, shown: str, target: str) -> None:
    parsed = parse_url(url)
    assert (str(parsed), parsed.target) == (shown, target)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_url_or_a_typed_error(text: str) -> None:
    for url in (text, f"http://{text}", f"http://a.example/{text}"):
        try:
            parsed = parse_url(url)
        except MediaError:
            continue
        assert parsed.target.isascii()
        assert parsed.target.isprintable()
        assert parsed.host.isascii()
