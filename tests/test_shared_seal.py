"""Sealed records and news: unreadable, bound to their place, no older than their age allows."""

from __future__ import annotations

import pytest
from fakes import FakeClock

from scailookup.errors import UpstreamApi, UpstreamAuth
from scailookup.model import Answer
from scailookup.shared.news import News
from scailookup.shared.records import SKEW, Records
from scailookup.shared.seal import Broken, Seal, derive

SECRET, ANOTHER = "a-secret-of-thirty-two-characters!", "another-secret-of-32-characters!!!"
KEY, OTHER = b"k" * 32, b"o" * 32
ANSWER = Answer.of(b'[{"id":"marker"}]', truncated=True, dropped=2, credential="tenant", calls=3)


def failure(kind: type[UpstreamApi] | type[UpstreamAuth] = UpstreamApi) -> UpstreamApi | UpstreamAuth:
    """A failure with everything that one can have."""
    exc = kind("scaigrid", "it broke", "mend it", code="BROKEN", upstream_status=429, retry_after=7)
    exc.credential = "tenant"
    return exc


def broken(call, *args) -> bool:
    """Whether opening is refused."""
    with pytest.raises(Broken):
        call(*args)
    return True


def test_what_was_sealed_opens():
    """The same secret, kind and place give the text back, in another process too."""
    assert b"text" == Seal(SECRET).open(b"entry", KEY, Seal(SECRET).close(b"entry", KEY, b"text"))


def test_the_text_is_not_to_be_seen():
    """A sealed text does not hold the text, nor looks the same twice."""
    seal = Seal(SECRET)
    one, two = seal.close(b"entry", KEY, b"marker"), seal.close(b"entry", KEY, b"marker")
    assert (False, False) == (b"marker" in one, one == two)


@pytest.mark.parametrize(
    ("secret", "kind", "place"),
    [(ANOTHER, b"entry", KEY), (SECRET, b"failure", KEY), (SECRET, b"entry", OTHER)],
)
def test_elsewhere_it_does_not_open(secret, kind, place):
    """Another secret, another kind or another place: not ours."""
    sealed = Seal(SECRET).close(b"entry", KEY, b"text")
    assert broken(Seal(secret).open, kind, place, sealed)


@pytest.mark.parametrize("place", range(33))
def test_no_byte_can_be_changed(place):
    """One bit anywhere, nonce and tag included, and it does not open."""
    sealed = bytearray(Seal(SECRET).close(b"entry", KEY, b"12345"))
    sealed[place] ^= 1
    assert broken(Seal(SECRET).open, b"entry", KEY, bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_what_is_too_short_does_not_open(length):
    """Less than a nonce and a tag is refused like anything else."""
    assert broken(Seal(SECRET).open, b"entry", KEY, b"x" * length)


def test_each_purpose_has_a_key_of_its_own():
    """Keys of different purposes and secrets differ, those of one are equal everywhere."""
    assert derive(SECRET, b"a") == derive(SECRET, b"a")
    assert 3 == len({derive(SECRET, b"a"), derive(SECRET, b"b"), derive(ANOTHER, b"a")})


def test_an_answer_comes_back_whole():
    """Bytes, meta and origin are those that were put in, and the age is what went by."""
    clock = FakeClock()
    records = Records(Seal(SECRET), clock)
    sealed = records.close_answer(KEY, ANSWER)
    clock.now += 4.0
    found = records.open_answer(KEY, sealed)
    assert (ANSWER, 4.0, 1000.0) == (found.value, found.age, found.made)


@pytest.mark.parametrize("kind", [UpstreamApi, UpstreamAuth])
def test_a_failure_comes_back_whole(kind):
    """Class, detail and headers are the same; it is marked as remembered and tells its age."""
    clock = FakeClock()
    records, exc = Records(Seal(SECRET), clock), failure(kind)
    sealed = records.close_failure(KEY, exc)
    clock.now += 0.5
    found = records.open_failure(KEY, sealed).value
    assert (type(exc), exc.detail(), exc.headers) == (type(found), found.detail(), found.headers)
    assert ("tenant", True, 0.5) == (found.credential, found.remembered, found.age)


def test_a_failure_is_no_answer():
    """A record cannot pass for one of the other kind."""
    records = Records(Seal(SECRET))
    assert broken(records.open_answer, KEY, records.close_failure(KEY, failure()))


def test_a_record_of_another_release_is_refused():
    """What was sealed by us and cannot be read is thrown away like what was not."""
    sealed = Seal(SECRET).close(b"entry", KEY, b"\x93\x01\x02\x03")
    assert broken(Records(Seal(SECRET)).open_answer, KEY, sealed)


@pytest.mark.parametrize(("ahead", "accepted"), [(SKEW, True), (SKEW + 0.1, False)])
def test_clocks_may_differ_a_little(ahead, accepted):
    """A record of a host whose clock is ahead is as new; one of the far future is refused."""
    sealed = Records(Seal(SECRET), lambda: 1000.0 + ahead).close_answer(KEY, ANSWER)
    reader = Records(Seal(SECRET), lambda: 1000.0)
    if accepted:
        assert 0.0 == reader.open_answer(KEY, sealed).age
    else:
        assert broken(reader.open_answer, KEY, sealed)


def test_news_reach_the_others():
    """What one tells the others read."""
    told = News(Seal(SECRET)).write("secret", b"tenants/tnt_a/key")
    found = News(Seal(SECRET)).read(told)
    assert ("secret", b"tenants/tnt_a/key") == (found.about, found.subject)


def test_the_own_news_is_none():
    """Who told it knows already."""
    news = News(Seal(SECRET))
    assert None is news.read(news.write("refused", KEY))


def test_news_counts_once():
    """A message that is sent again is refused."""
    told, reader = News(Seal(SECRET)).write("refused", KEY), News(Seal(SECRET))
    reader.read(told)
    assert broken(reader.read, told)


@pytest.mark.parametrize("offset", [31.0, -(SKEW + 0.1)])
def test_old_news_is_refused(offset):
    """A message from half a minute ago, or from the future, changes nothing."""
    told = News(Seal(SECRET), lambda: 1000.0).write("refused", KEY)
    assert broken(News(Seal(SECRET), lambda: 1000.0 + offset).read, told)


@pytest.mark.parametrize("message", [b"", b"refused", b"x" * 100])
def test_rubbish_is_no_news(message):
    """What was not sealed at all changes nothing."""
    assert broken(News(Seal(SECRET)).read, message)


def test_forged_news_is_refused():
    """What was sealed with another secret changes nothing."""
    assert broken(News(Seal(SECRET)).read, News(Seal(ANOTHER)).write("refused", KEY))
