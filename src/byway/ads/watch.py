"""What one session has read of the catalogue, and under which keys it will hear of changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from byway.ads.action import Watch
from byway.ads.catalogue import Catalogue, Key, Lookup, Proxy
from byway.model import names

Question = tuple[str, str]
"""Type and name."""


class Watched:
    """The catalogue as one proxy sees it, with each answer's key remembered."""

    def __init__(self, catalogue: Catalogue, proxy: Proxy) -> None:
        self._catalogue = catalogue
        self._proxy = proxy
        self._key_of: dict[Question, Key] = {}
        self._questions: dict[Key, dict[Question, None]] = {}
        self._roots: dict[str, dict[str, None]] = {}
        self._changes: dict[Key, bool] = {}  # keys that came (True) or went since the last difference
        self.roots_keys: frozenset[Key] = frozenset({catalogue.roots(proxy), catalogue.offer(proxy).key})
        self._changes.update(dict.fromkeys(self.roots_keys, True))

    def lookup(self, type_url: str, name: str) -> Lookup:
        """The catalogue's answer; the session will hear when it may have changed."""
        answer = self._catalogue.lookup(self._proxy, type_url, name)
        question = (type_url, name)
        if question not in self._key_of or self._key_of[question] != answer.key:
            self.drop(type_url, name)
            self._key_of[question] = answer.key
            if answer.key not in self._questions:
                self._questions[answer.key] = {}
                self._note(answer.key, is_added=True)
            self._questions[answer.key][question] = None
        return answer

    def drop(self, type_url: str, name: str) -> None:
        """The session needs that answer no more."""
        question = (type_url, name)
        key = self._key_of.pop(question, None)
        if key is None:
            return
        questions = self._questions[key]
        questions.pop(question, None)
        if not questions:
            del self._questions[key]
            self._note(key, is_added=False)

    def known(self) -> tuple[Question, ...]:
        """What the proxy is to hold before it asks."""
        return self._catalogue.known(self._proxy)

    def has_endpoints(self, cluster: str) -> bool:
        """Whether the endpoints of `cluster` come over EDS."""
        return self._catalogue.lookup(self._proxy, names.TYPE_ENDPOINTS, cluster).resource is not None

    def touched(self, keys: Iterable[Key]) -> list[Question]:
        """The questions whose answers may have changed."""
        return [question for key in keys for question in self._questions.get(key, ())]

    def roots_of(self, type_url: str) -> Mapping[str, None]:
        """The names that the proxy holds without asking, as read last."""
        return self._roots.get(type_url, {})

    def fresh_roots_of(self, type_url: str) -> Mapping[str, None]:
        """The names that the proxy holds without asking, read anew."""
        if type_url == names.TYPE_LISTENER:
            self._roots[type_url] = dict.fromkeys(self._catalogue.listeners(self._proxy))
        elif type_url == names.TYPE_CLUSTER:
            own, offer = self._catalogue.clusters(self._proxy), self._catalogue.offer(self._proxy)
            self._roots[type_url] = dict.fromkeys((*own, *offer.clusters))
        elif type_url == names.TYPE_VIRTUAL_HOST:
            self._roots[type_url] = dict.fromkeys(self._catalogue.offer(self._proxy).virtual_hosts)
        return self.roots_of(type_url)

    def difference(self) -> Watch | None:
        """The keys that came and went since the last call."""
        if not self._changes:
            return None
        changes, self._changes = self._changes, {}
        added = tuple(key for key, is_added in changes.items() if is_added)
        return Watch(added, tuple(key for key, is_added in changes.items() if not is_added))

    def _note(self, key: Key, *, is_added: bool) -> None:
        if key in self.roots_keys and not is_added:
            return
        if self._changes.get(key, is_added) != is_added:
            del self._changes[key]  # came and went (or went and came) within one step
        else:
            self._changes[key] = is_added
