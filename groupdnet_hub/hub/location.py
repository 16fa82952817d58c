"""Where a model is: a folder of this machine, or a Hub id. What is neither is refused at once, with a near name."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path, PurePosixPath

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # a public name without a stub

_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)
_NEAR = 0.75  # of two names as difflib compares them; 1 for equal ones


def model_folder(name: str | os.PathLike[str]) -> Path | None:
    """Return the folder that the name of a model means; None for a Hub id. This is the only rule to distinguish them.

    A folder that exists is meant; otherwise a string ``user/name`` is a Hub id. A path object never is one.

    Raises:
        FileNotFoundError: for a name that is neither: a path that does not exist, a name without a user, and a file.
        TypeError: for anything but a string and a path object.
    """
    if isinstance(name, bytes) or not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"a model is named by a folder or a Hub id, not by {name!r} ({type(name).__name__})")
    source = os.fspath(name)
    if source and os.path.isdir(source):
        return Path(source)
    if source and os.path.exists(source):
        raise FileNotFoundError(
            f"{source} is a file: name the folder that holds config.json and model.safetensors"
        )
    if not isinstance(name, str) or not _is_hub_id(name):
        raise FileNotFoundError(
            f"{no_folder(source)}: check the path, or name a model of the Hub as user/name"
        )
    return None


def no_folder(source: str) -> str:
    """Say that there is no folder of this name, and which existing one it may have meant."""
    near = _near_folder(source)
    home = "; ~ is not expanded here, Path.expanduser does" if source.startswith("~") else ""
    return f"there is no folder {source!r}" + (f" (did you mean {near!r}?)" if near else home)


def own_subfolder(subfolder: str) -> PurePosixPath:
    """Return the path of a folder in a model's folder or repository.

    Raises:
        ValueError: for an absolute path, and one that leads out.
    """
    path = PurePosixPath(str(subfolder).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise ValueError(f"subfolder is {subfolder!r}; it must be a path inside the model's folder")
    return path


def why_unreachable(
    repo_id: str, file_name: str, revision: str | None, token: str | bool | None
) -> str | None:
    """Ask the Hub once for a file, and return why it does not answer; None if it does, whatever the answer.

    ``hf_hub_download`` asks six times within 24 seconds where a file is not in the cache.
    """
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, file_name, revision=revision), token=token)
    except (HfHubHTTPError, EntryNotFoundError):
        return None
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    # The library that makes the request, whose errors these are, changed between versions of huggingface_hub.
    except Exception as error:
        return str(error) or type(error).__name__
    return None


def _is_hub_id(name: str) -> bool:
    if not _ID.fullmatch(name):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _near_folder(source: str) -> str | None:
    """Return an existing folder whose path differs from a missing one by slips of the pen in some of its parts."""
    path = Path(source)
    found = Path(path.anchor)
    for part in path.relative_to(found).parts:
        if part != ".." and not (found / part).is_dir():
            near = difflib.get_close_matches(part, _folders_in(found), n=1, cutoff=_NEAR)
            if not near:
                return None
            part = near[0]
        found /= part
    return None if found in (Path(path.anchor), path) else str(found)


def _folders_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []
