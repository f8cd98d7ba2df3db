"""Upload an exported folder to the Hugging Face hub. Nothing is sent unless a repository was named."""

from __future__ import annotations

from pathlib import Path

from errata.tools.errors import OperatorError
from errata.tools.export.base import HUB_NAME


def check_repository(repository: str) -> None:
    """Raise OperatorError, before anything is written, for a name that no repository can have."""
    if not HUB_NAME.fullmatch(repository) or len(repository) > 96 or ".." in repository or "--" in repository:
        raise OperatorError("no name of a repository", where="--push", value=repository, remedy="write OWNER/NAME")


def push_folder(folder: Path, *, repository: str, public: bool, leave_out: str | None = None) -> str:
    """Create the repository if it is not there, private unless `public`, and upload; returns its address.

    `leave_out` is a pattern of files that are not sent. The token is the hub library's own (HF_TOKEN, or `hf auth
    login`). Raises OperatorError when the hub cannot be reached or refuses; the folder stays as it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    api = HfApi()
    try:
        created = api.create_repo(repository, private=not public, exist_ok=True, repo_type="model")
        api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=leave_out, repo_type="model")
    except (HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        remedy = "the folder is complete; log in (hf auth login) or mend the network, then: "
        remedy += f"hf upload {repository} {folder}"
        raise OperatorError(f"cannot push to {api.endpoint}: {reason}", where=repository, remedy=remedy) from error
    return str(created)
