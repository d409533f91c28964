"""The Perspective API over HTTP, and its answers in a file: what is asked, what may be retried, what is kept.

Request and answer: the discovery document of commentanalyzer v1alpha1; limits and messages: its documentation.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote_plus, urlencode

from proofglass.errors import UsageError, is_environment

ENDPOINT = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
SUNSET = (
    "the Perspective API ends on 2026-12-31, without a successor. Judge by a local model (`toxicity`), or by recorded "
    "answers (`recorded: FILE`, `online: false`)"
)
_LONGEST = 1_000_000  # bytes of an answer that are read


@dataclass(frozen=True)
class Answer:
    """scores: attribute -> its probability. reason: why there are none, "" if there are. lasts: whether the same text
    would get the same answer again, so that it may be recorded: a failure of the service is no answer."""

    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    lasts: bool = True


class Recorded:
    """Answers by the sha256 of what was asked, one JSON object a line; the texts themselves are not in the file.

    A torn last line, which a killed run leaves behind, is dropped. Raises UsageError for any other broken line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Answer] = {}
        for number, line in enumerate(self._lines(), 1):
            try:
                asked, answer = _of_line(line)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: no recorded answer ({error}); take that line out") from error
            self.known[asked] = answer

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if is_environment(error):
                raise
            raise UsageError(f"recorded: {self.path}: cannot be read ({error})") from error
        whole, newline, _torn = text.rpartition("\n")
        return [line for line in whole.split("\n") if line.strip()] if newline else []

    def get(self, text: str, attributes: Sequence[str], languages: Sequence[str]) -> Answer | None:
        return self.known.get(asked_of(text, attributes, languages))

    def add(self, text: str, attributes: Sequence[str], languages: Sequence[str], answer: Answer) -> None:
        """Known from now on, and after the next start: a line is written whole, then the disk is told to keep it."""
        asked = asked_of(text, attributes, languages)
        told = {"asked": asked, "scores": dict(answer.scores), "reason": answer.reason}
        line = json.dumps(told, ensure_ascii=True, sort_keys=True) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a torn line: it is dropped, not continued
                    file.truncate(_end_of_last_line(file))
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.known[asked] = answer


def _end_of_last_line(file: BinaryIO) -> int:
    """Where the last whole line of `file` ends."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def asked_of(text: str, attributes: Sequence[str], languages: Sequence[str]) -> str:
    """Sha256 of a question: text, attributes in any order, languages."""
    told = json.dumps([text, sorted(attributes), list(languages)], ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _of_line(line: str) -> tuple[str, Answer]:
    found = json.loads(line)
    scores = {str(name): _share(value) for name, value in dict(found["scores"]).items()}
    reason = found["reason"]
    if not isinstance(reason, str) or not isinstance(found["asked"], str) or bool(scores) == bool(reason):
        raise ValueError("expected scores or a reason")
    return found["asked"], Answer(scores, reason)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 <= value <= 1):
        raise ValueError(f"a score lies in 0..1, found {value!r}")
    return float(value)


class Service:
    """One service, asked no more often than every `interval_s` seconds. The key is read when it is first needed, and
    stands in no message."""

    def __init__(self, endpoint: str, key_env: str, interval_s: float, retries: int, timeout_s: float) -> None:
        self.endpoint, self.key_env = endpoint, key_env
        self.interval_s, self.retries, self.timeout_s = interval_s, retries, timeout_s
        self._next = 0.0

    def ask(self, text: str, attributes: Sequence[str], languages: Sequence[str]) -> Answer:
        """Scores of `text`. Raises UsageError for a key that is absent or refused, or a host out of reach."""
        body = {
            "comment": {"text": text.encode("utf-8", "replace").decode(), "type": "PLAIN_TEXT"},
            "requestedAttributes": {name: {} for name in attributes},
            "doNotStore": True,
            **({"languages": list(languages)} if languages else {}),
        }
        status, told, wait = 0, "", 0.0
        for attempt in range(self.retries + 1):
            self._wait(wait)
            status, told, wait = self._sent(json.dumps(body).encode())
            if status == 200:
                return _scores(told, attributes)
            if status and status != 429 and status < 500:
                break
            wait = max(wait, self.interval_s * 2**attempt)
        return self._refused(status, told)

    def _wait(self, longer: float) -> None:
        time.sleep(max(0.0, self._next - time.monotonic(), longer))
        self._next = time.monotonic() + self.interval_s

    def _sent(self, body: bytes) -> tuple[int, str, float]:
        """(status, text of the answer, seconds that the service asks to wait); status 0: no answer came."""
        key = os.environ.get(self.key_env, "")
        if not key:
            raise UsageError(f"key_env: the environment variable {self.key_env} is not set; {SUNSET}")
        where = f"{self.endpoint}{'&' if '?' in self.endpoint else '?'}{urlencode({'key': key})}"
        request = urllib.request.Request(where, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with _OPENER.open(request, timeout=self.timeout_s) as answer:
                return answer.status, answer.read(_LONGEST).decode("utf-8", "replace"), 0.0
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(_LONGEST).decode("utf-8", "replace")
            return error.code, told, _seconds(error.headers.get("Retry-After", ""))
        except (OSError, ValueError, HTTPException) as error:  # URLError, a time-out, a line that broke
            if is_environment(error):
                raise
            said = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
            return 0, said.replace(key, "KEY").replace(quote_plus(key), "KEY"), 0.0

    def _refused(self, status: int, told: str) -> Answer:
        said = _message(told)
        if status == 400 and "api key" not in said.lower():
            return Answer(reason=f"the service refuses the text (400): {said}")
        if status == 0:
            raise UsageError(f"endpoint: {self.endpoint} cannot be reached ({said}); {SUNSET}")
        if 300 <= status < 500 and status != 429:
            raise UsageError(f"key_env: the service refuses the request ({status}: {said}); {SUNSET}")
        return Answer(reason=f"the service failed ({status}: {said}) {self.retries + 1} times", lasts=False)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the key is for one host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def _scores(told: str, attributes: Sequence[str]) -> Answer:
    try:
        found = json.loads(told)["attributeScores"]
        scores = {name: _share(found[name]["summaryScore"]["value"]) for name in attributes if name in found}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Answer(reason=f"an answer that is none: {type(error).__name__}: {error}", lasts=False)
    return Answer(scores) if scores else Answer(reason="no attribute was scored", lasts=False)


def _message(told: str) -> str:
    """What an error of the service says, cut."""
    try:
        said = json.loads(told)["error"]["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = told
    return " ".join(str(said).split())[:200] or "no reason given"


def _seconds(header: str) -> float:
    try:
        found = float(header)
    except ValueError:
        return 0.0
    return min(found, 60.0) if math.isfinite(found) and found > 0 else 0.0
