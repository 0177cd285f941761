"""Models on the Hugging Face hub as local folders: ``owner/name`` or ``hf://owner/name/folder@revision``.

``huggingface_hub`` does the work, with its cache, tokens and environment (HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE); a file is fetched once. A path that exists here is never looked up there.
"""

import importlib
import logging
import pathlib
import re
import warnings
from collections.abc import Sequence
from typing import Any

from Utils.command.cli import UserError, WorkError, is_of_the_machine
from Utils.files.atomic import AnyPath, to_path

SCHEME = "hf://"
_ID = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(?P<folder>(?:/[\w.-]+)*)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
# The page of a model, or of a folder of one, as browsers show its address.
_PAGE = re.compile(
    r"https?://(?:huggingface\.co|hf\.co)/(?P<repository>(?!datasets/|spaces/)[\w.-]+/[\w.-]+)"
    r"(?:/tree/(?P<revision>[\w.-]+)(?P<folder>(?:/[\w.-]+)*))?/?",
    re.ASCII,
)
_MOST_NAME = 96  # characters
_ALLOWED = re.compile(rf"\b[\w.-]+\b/\b[\w.-]{{1,{_MOST_NAME}}}\b", re.ASCII)  # of a repository to write to
_LOCAL_SUFFIXES = (".keras", ".h5", ".onnx", ".safetensors")
_DESCRIPTIONS = ("*.json", "*.csv", "*.txt", "README.md")
_FOR_A_WHILE = (408, 429)  # answers of a hub that is slow or asked too often
# Files that a purpose needs; a pattern without a folder matches at the top only.
_NEW_WEIGHTS = ("*.keras", "extra/keras/*", "model.safetensors")
_OLD_WEIGHTS = "*.h5"  # fetched where no others are: beside new ones they are the same model once more
WEIGHTS = (*_NEW_WEIGHTS, *_DESCRIPTIONS)
SERVING = ("*.onnx", "*.onnx.data", "*.onnx_data", *_DESCRIPTIONS)
ALL = ("*", "extra/*")  # of a release, whose formats are compared


def is_id(source: AnyPath) -> bool:
    """Whether a text names a model on the hub, and nothing here.

    ``owner/name`` does, and ``owner/name/folder``, where neither it nor a folder ``owner`` is here:
    ``runs/mistyped`` is no id beside a folder ``runs``. The address of a model's page does, too.
    """
    text = str(source)
    if text.startswith(SCHEME):
        return True
    path = pathlib.Path(text)
    owner = pathlib.Path(*path.parts[:1])
    is_local = path.exists() or owner.exists() or path.suffix.lower() in _LOCAL_SUFFIXES
    return not is_local and _match(text) is not None


def _match(text: str) -> re.Match[str] | None:
    """Return the parts of an id; None for another text, also one with ``.`` or ``..`` for a part: a path."""
    match = _ID.fullmatch(text) or _PAGE.fullmatch(text)
    return match if match and not {".", ".."} & {*text.partition("@")[0].split("/")} else None


def argument(text: str) -> pathlib.Path | str:
    """Return a path, or the text of an id on the hub: the ``type=`` of arguments that name models."""
    return text if is_id(text) else to_path(text)


def name_of(source: AnyPath) -> str:
    """Return an id on the hub without its revision, the name of a file or folder here."""
    text = str(source)
    return "".join(_parsed(text)[:2]) if is_id(text) else pathlib.Path(text).resolve().name


def local(source: AnyPath, patterns: tuple[str, ...] = WEIGHTS) -> pathlib.Path:
    """Return the path of a source here: itself, or the folder into which the files of a hub id are fetched.

    Args:
        source: a path, ``owner/name``, or ``hf://owner/name/folder@revision``.
        patterns: the files to fetch, `WEIGHTS` or `SERVING`.

    Raises:
        UserError: the model is missing or private, lacks the folder, or is not in the cache where
            HF_HUB_OFFLINE forbids to fetch it.
        WorkError: the hub cannot be reached, or fails, and the cache lacks the files.
    """
    if not is_id(source):
        return to_path(source)
    repository, inside, revision = _parsed(str(source))
    library = _library()
    prefix = f"{inside[1:]}/" if inside else ""
    top_only = [prefix + pattern for pattern in patterns if "/" not in pattern]
    nested = [prefix + pattern for pattern in patterns if "/" in pattern]
    fetch: dict[str, Any] = {"repo_id": repository, "revision": revision}
    not_below: dict[str, Any] = {"ignore_patterns": [f"{prefix}*/*"]}  # a * goes across folders
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of links on Windows, of unused options
            folder = library.snapshot_download(**fetch, allow_patterns=top_only, **not_below)
            if nested:
                library.snapshot_download(**fetch, allow_patterns=nested)
            if patterns == WEIGHTS and not _has_any(pathlib.Path(f"{folder}{inside}"), _NEW_WEIGHTS):
                library.snapshot_download(**fetch, allow_patterns=[prefix + _OLD_WEIGHTS], **not_below)
    except Exception as error:  # its errors come from three packages, which differ by version
        if is_of_the_machine(error):  # a full disk, for example
            raise
        raise _fetch_error(library, repository, revision, error) from error
    path = pathlib.Path(f"{folder}{inside}")
    if not path.is_dir():
        raise UserError(f"{repository} has no folder {inside[1:]} with a model{_models_elsewhere(source)}")
    return path


def local_tagger(source: AnyPath) -> pathlib.Path:
    """Return `local` of what a program that tags needs: the ONNX model, else the weights.

    Raises UserError, too, where there are models in other folders of the repository only.
    """
    folder = local(source, SERVING)
    if not is_id(source) or any(folder.glob("*.onnx")):
        return folder
    folder = local(source, WEIGHTS)
    has_weights = _has_any(folder, (*_NEW_WEIGHTS, _OLD_WEIGHTS))
    if not has_weights and (elsewhere := _models_elsewhere(source)):
        raise UserError(f"{name_of(source)} has no model at its top{elsewhere}")
    return folder


def _has_any(folder: pathlib.Path, patterns: Sequence[str]) -> bool:
    return any(any(folder.glob(pattern)) for pattern in patterns)


def _models_elsewhere(source: AnyPath) -> str:
    """Return a sentence on the folders of a repository that hold ONNX models; empty where none is known."""
    repository, _, revision = _parsed(str(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files = _library().HfApi().list_repo_files(repository, revision=revision)
    except Exception:  # offline, for example: the sentence is an extra
        return ""
    folders = sorted({str(pathlib.PurePosixPath(file).parent) for file in files if file.endswith(".onnx")})
    names = [repository if folder == "." else f"{repository}/{folder}" for folder in folders]
    return f"; it has models in {', '.join(names[:6])}{', ...' * (len(names) > 6)}" if names else ""


def repository(text: str) -> str:
    """Return ``owner/name`` of a repository to write to; UserError for another text, or a name it refuses."""
    match = _match(text.removeprefix(SCHEME))
    if match is None or match["revision"] or match["folder"]:
        raise UserError(f"a repository on the hub is owner/name; got {text}")
    name = match["repository"]
    if not _ALLOWED.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise UserError(
            "owner and name on the hub begin and end with a letter, a digit or _, have no -- and no .., at "
            f"most {_MOST_NAME} characters, and no .git at the end; got {name}"
        )
    return name


def upload(
    folder: AnyPath, names: Sequence[str], name: str, revision: str | None = None, private: bool = False
) -> str:
    """Upload files of a folder to a repository on the hub in one commit; return the commit's URL.

    Args:
        folder: on this machine.
        names: of the files, relative to it.
        name: ``owner/name``; made where it does not exist.
        revision: a branch, made where it does not exist; None for main.
        private: make a private repository; one that is there must be private.

    Raises UserError where the hub refuses the token or the upload, and where what is to be private would be
    public; WorkError where it cannot be reached or fails.
    """
    library = _library()
    api = library.HfApi()
    operations = [
        library.CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(pathlib.Path(folder, path)))
        for path in names
    ]
    message = f"Release of {len(names)} files"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own HTTP library's deprecations
            api.create_repo(name, private=private or None, exist_ok=True)
            if private and not api.model_info(name).private:
                raise UserError(
                    f"{name} is there already and is public, so --private hides nothing: make it private "
                    "in its settings on the hub, give another name, or leave --private out"
                )
            if revision:
                api.create_branch(name, branch=revision, exist_ok=True)
            commit = api.create_commit(name, operations, commit_message=message, revision=revision)
    except UserError:
        raise
    except Exception as error:  # as in `local`
        raise _upload_error(library, name, error) from error
    return str(commit.commit_url)


def _upload_error(library: Any, name: str, error: Exception) -> Exception:
    """Return why an upload failed and the next step, as the error to raise."""
    endpoint, status = library.constants.ENDPOINT, _status(error)
    if status in (401, 403) or isinstance(error, library.errors.LocalTokenNotFoundError):
        return UserError(
            f"{endpoint} lets nobody write to {name} without a token that may: log in with `hf auth login`, "
            "or set HF_TOKEN to one with the permission to write"
        )
    causes = [
        str(one).strip().splitlines()[0] for one in (error, error.__cause__) if one and str(one).strip()
    ]
    reason = "; ".join(dict.fromkeys(causes)) or type(error).__name__
    is_refused = status is not None and 400 <= status < 500 and status not in _FOR_A_WHILE
    return (UserError if is_refused else WorkError)(
        f"{name} cannot be uploaded to {endpoint}: {reason}; what is there is as it was"
        f"{'' if is_refused else ', and the same command sends it again'}"
    )


def _status(error: Exception) -> int | None:
    """Return the status of the hub's answer, None where there was none."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _parsed(text: str) -> tuple[str, str, str | None]:
    """Return (``owner/name``, ``/folder`` or nothing, revision or None); UserError for another text."""
    match = _match(text.removeprefix(SCHEME))
    if match is None:
        raise UserError(
            "a model on the hub is hf://owner/name, hf://owner/name@revision or "
            f"hf://owner/name/folder@revision; got {text}"
        )
    return match["repository"], match["folder"] or "", match["revision"]


def _library() -> Any:
    # It warns of patterns that no file of a repository matches, which is how one finds out what it has.
    logging.getLogger("huggingface_hub._snapshot_download").setLevel(logging.ERROR)
    try:
        return importlib.import_module("huggingface_hub")  # here: it takes long, and few commands need it
    except ImportError as error:
        raise UserError(
            "huggingface_hub is needed for models on the hub and not installed: "
            "pip install -r requirements.txt"
        ) from error


def _fetch_error(library: Any, repository: str, revision: str | None, error: Exception) -> Exception:
    """Return what went wrong and the next step, as the error to raise."""
    errors, endpoint = library.errors, library.constants.ENDPOINT
    named = f"{repository}{f'@{revision}' if revision else ''}"
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(
            f"{repository} at {endpoint} has no revision {revision!r}; leave it out for the newest"
        )
    if isinstance(error, errors.GatedRepoError):
        return UserError(
            f"{named} at {endpoint} is shown only to people who have agreed to its terms: do so on its page, "
            "then log in with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"there is no {repository} here, and {endpoint} has no such model, or shows it to nobody without "
            "a token: for a private one log in with `hf auth login` or set HF_TOKEN"
        )
    cache = library.constants.HF_HUB_CACHE
    if library.constants.HF_HUB_OFFLINE:
        return UserError(
            f"{named} is not complete in the cache {cache}, and HF_HUB_OFFLINE keeps from fetching it"
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return WorkError(
        f"{named} cannot be fetched from {endpoint} and is not complete in the cache {cache}: {reason[0]}; "
        "is there a network? HF_ENDPOINT names another hub"
    )
