"""The upload of a run's model, whose repository is made before the run trains."""

from __future__ import annotations

from huggingface_hub import HfApi

from groupdnet_hub.baselines import System
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.training.config import TrainConfig


def create_repository(settings: TrainConfig) -> None:
    """Create the repository of ``--hub_model_id`` if there is none, so that a wrong token is not told after the run.

    Raises:
        OSError: if the Hub is out of reach or refuses.
    """
    api, name = HfApi(token=settings.hub_token), settings.hub_model_id
    assert name is not None, "--push_to_hub has a name"
    try:
        api.create_repo(name, private=settings.hub_private or None, exist_ok=True)
    except Exception as error:  # those of the HTTP client too
        raise OSError(
            f"--push_to_hub: cannot upload to {name}: {first_line(error)}. Log in by `hf auth login` or give "
            "--hub_token; or leave out --push_to_hub, and upload OUTPUT_DIR/model afterwards"
        ) from error


def upload(model: System, settings: TrainConfig) -> str:
    """Upload a model to the repository of ``--hub_model_id``; return the address of the commit."""
    assert settings.hub_model_id is not None, "--push_to_hub has a name"
    private = settings.hub_private or None
    return model.push_to_hub(settings.hub_model_id, private=private, token=settings.hub_token)
