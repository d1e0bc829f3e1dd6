"""Upload a folder as a dataset or a model with `huggingface_hub`."""

from pathlib import Path
from typing import Any, Literal

from askback.contracts.errors import InvalidInput, UpstreamUnavailable

Kind = Literal["dataset", "model"]
_REFUSED = (401, 403, 404)
_COMMITS: dict[Kind, str] = {"dataset": "Tracks made by askback", "model": "Model trained by askback"}


class HuggingFaceHub:
    """`askback.loop.push.Hub` over an `HfApi`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def upload(self, repo_id: str, folder: Path, files: list[str], private: bool, kind: Kind = "dataset") -> None:
        """One commit with `files` of `folder` to the dataset or model `repo_id`, made as private or public when there is none.

        Raises InvalidInput when the hub refuses the token or the name, UpstreamUnavailable when it is out of reach.
        """
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            self._api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
            self._api.upload_folder(repo_id=repo_id, repo_type=kind, folder_path=folder, allow_patterns=files, commit_message=_COMMITS[kind])
        except HFValidationError as error:
            raise InvalidInput(f"repo_id: the hub does not take {repo_id!r}: {error}") from error
        except Exception as error:  # a hub out of reach shows as classes of its HTTP library, which differs between versions
            status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
            if status in _REFUSED:
                raise InvalidInput(f"token: the hub refuses to write {repo_id} ({status}); use a token that may write there") from error
            raise UpstreamUnavailable(f"the hub did not take {repo_id} ({type(error).__name__}); push again later") from error


def connect(token: str) -> HuggingFaceHub:
    """The hub as the holder of `token`; raises InvalidInput without the package."""
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise InvalidInput("pushing needs the `huggingface_hub` package: install askback[hub]") from error
    return HuggingFaceHub(HfApi(token=token))
