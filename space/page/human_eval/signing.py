"""What the server signs: names of raters, and questions that it has shown. A client can invent neither."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECRET = "GROUPDNET_EVALUATION_SECRET"  # nosec B105
_LEAST_SECRET = 32
_RATER = re.compile(r"[0-9a-f]{32}")
_QUESTION = re.compile(r"([0-9a-f]{32})\.([a-z]{1,32})\.([0-9]{1,3})\.([0-9]{1,15})\.([0-9a-f]{16})")
_MOST_TEXT = 256


@dataclass(frozen=True)
class Asked:
    """A question as it was shown.

    Attributes:
        rater: who was asked.
        study, number: of the question.
        shown: when its pictures had been drawn, in seconds since 1970.
        digest: of the models and label maps that were compared.
    """

    rater: str
    study: str
    number: int
    shown: float
    digest: str


class Signer:
    """Signs with a key that is kept beside the answers, so that raters can go on after a restart.

    Args:
        path: file of the key, which is made at random when it is first needed, and which its owner alone can read.
        secret: the operator's, in the place of the file; for several servers with one file of answers, say.

    Raises:
        ValueError: for a secret that is too short.
    """

    def __init__(self, path: Path, secret: str | None = None) -> None:
        if secret and len(secret) < _LEAST_SECRET:
            raise ValueError(
                f"{SECRET} has {len(secret)} characters; it must have {_LEAST_SECRET} at least, drawn at random."
            )
        self.path = path
        self._key = hashlib.sha256(secret.encode()).digest() if secret else b""

    @classmethod
    def beside(cls, answers: Path, environment: Mapping[str, str] = os.environ) -> Signer:
        """Return the signer for a file of answers.

        Raises:
            ValueError: as the class.
        """
        return cls(answers.with_name(f"{answers.name}.key"), environment.get(SECRET, ""))

    def new_rater(self) -> str:
        """Return the signed name of a new rater."""
        return self.sign_rater(secrets.token_hex(16))

    def rater(self, signed: object) -> str | None:
        """Return the name that was signed; None for anything else."""
        name = self._content("rater", signed)
        return name if name is not None and _RATER.fullmatch(name) else None

    def sign_rater(self, rater: str) -> str:
        """Return what a rater's browser keeps."""
        return self._signed("rater", rater)

    def sign_question(self, asked: Asked) -> str:
        """Return what an answer to this question must bring."""
        text = f"{asked.rater}.{asked.study}.{asked.number}.{round(asked.shown * 1000)}.{asked.digest}"
        return self._signed("question", text)

    def question(self, signed: object) -> Asked | None:
        """Return the question that was signed; None for anything else."""
        found = _QUESTION.fullmatch(self._content("question", signed) or "")
        if found is None:
            return None
        rater, study, number, shown, digest = found.groups()
        return Asked(rater, study, int(number), int(shown) / 1000, digest)

    def pseudonym(self, rater: str) -> str:
        """Return what a rater is called where others see it: without the key, nobody can tell who it is."""
        return self._digest("pseudonym", rater)[:16]

    def _signed(self, purpose: str, text: str) -> str:
        return f"{text}~{self._digest(purpose, text)}"

    def _content(self, purpose: str, signed: object) -> str | None:
        if not isinstance(signed, str) or len(signed) > _MOST_TEXT or not signed.isascii():
            return None
        text, _, digest = signed.rpartition("~")
        return text if hmac.compare_digest(digest, self._digest(purpose, text)) else None

    def _digest(self, purpose: str, text: str) -> str:
        if not self._key:
            self._key = _kept_key(self.path)
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _kept_key(path: Path) -> bytes:
    """Return the key in a file, which is made if it is missing; of several servers, one makes it.

    Raises:
        OSError: if it cannot be read or written, and for a file that holds no key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only its owner may read what mkstemp makes.
        handle, partial = tempfile.mkstemp(".partial", f".{path.name}", path.parent)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
            with suppress(FileExistsError):
                try:
                    os.link(partial, path)
                except (PermissionError, NotImplementedError):  # a file system without links
                    os.rename(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise OSError(f"{path} holds no key: restore it, or delete it, after which all raters count as new")
    return bytes.fromhex(text)
