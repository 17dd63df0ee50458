"""The small real work of single services."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.demo.exchange import DeclinedError, Identity, Request
from byway.demo.peers import Peers
from byway.demo.services import badge_service, code_service, geo_service, preview_service, quota_service, spam_check
from byway.demo.services.url_validator import normal


@given(st.sets(st.integers(min_value=0, max_value=62**7 - 1), min_size=2, max_size=50))
def test_codes_never_repeat(numbers: set[int]) -> None:
    codes = {code_service.code(number) for number in numbers}
    assert len(codes) == len(numbers)
    assert all(len(code) == 7 and code.isalnum() for code in codes)


def test_codes_do_not_tell_their_order() -> None:
    codes = [code_service.code(number) for number in range(100)]
    assert codes != sorted(codes)
    assert len({code[0] for code in codes}) > 20


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:443/a?b=c#d", "https://example.com/a?b=c#d"),
        ("http://example.com:8080/A", "http://example.com:8080/A"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
    ],
)
def test_urls_have_one_normal_form(url: str, expected: str) -> None:
    assert normal(url) == expected
    assert normal(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "javascript:alert(1)",
        "http:///path",
        "https://user:secret@example.com/",
        "http://example.com:99999/",
        "http://[::1",
        "http://example.com/\r\nSet-Cookie: x",
        "http://exämple.com/",
        "http://example.com/" + "a" * 2048,
        "",
    ],
)
def test_what_is_no_web_address_is_declined(url: str) -> None:
    with pytest.raises(DeclinedError) as caught:
        normal(url)
    assert caught.value.status == 422


@given(st.text(max_size=200))
def test_no_text_breaks_the_validator(text: str) -> None:
    try:
        url = normal(text)
    except DeclinedError:
        return
    assert normal(url) == url


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("192.0.2.1", "Freedonia"),
        ("192.0.2.200", "Sylvania"),
        ("2001:db8::1", "Syldavia"),
        ("10.1.2.3", "here"),
        ("8.8.8.8", "elsewhere"),
    ],
)
def test_addresses_have_a_country(address: str, country: str) -> None:
    assert geo_service.country(address) == country


def test_spam_is_told_by_its_signs() -> None:
    assert spam_check.signs("https://docs.example.com/guide") == {}
    assert spam_check.signs("http://192.0.2.1/lottery").keys() == {"a bare address", "mostly digits", "words of spam"}


def test_a_preview_is_made_of_the_words_of_the_url() -> None:
    assert preview_service.words("https://www.example.com/docs/service-mesh.html") == (
        "example",
        "docs",
        "service",
        "mesh",
    )


def test_a_badge_is_as_wide_as_its_words() -> None:
    assert 'width="96"' in badge_service.badge("clicks", "12")


def test_a_quota_ends() -> None:
    action = quota_service.QuotaService(per_minute=2).routes()[0].action
    peers, identity = Peers((), 8080, 1), Identity("quota-service", "v1", "quota-service-1")
    request = Request(peers, identity, {}, content=b'{"user": "ada"}')
    statuses = []
    for _ in range(6):  # a minute may turn once meanwhile
        try:
            statuses.append(action(request).status)
        except DeclinedError as fault:
            statuses.append(fault.status)
    assert statuses.count(200) in (2, 4)
    assert statuses[-1] == 429
