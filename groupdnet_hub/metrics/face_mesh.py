"""The face mesh of mediapipe as a face finder. Its models come with the package: nothing is downloaded."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from torch import Tensor

# The last version that was measured with; later ones replace this interface.
_VERSION = "0.10.14"
_HOW = f"pip install mediapipe=={_VERSION}, in an environment of its own if its older protobuf is in the way"


class FaceMesh:
    """Finds faces in single pictures, one after another and each as if it were the first.

    Raises:
        ImportError: if mediapipe is not installed, or in another version; it names the command that installs it.
    """

    def __init__(self) -> None:
        try:
            found = version("mediapipe")
        except PackageNotFoundError:
            raise ImportError(
                f"faces are found with mediapipe {_VERSION}, which is not installed: {_HOW}"
            ) from None
        if found != _VERSION:
            raise ImportError(f"faces are found with mediapipe {_VERSION}, and {found} is installed: {_HOW}")
        from mediapipe.python.solutions.face_mesh import FaceMesh as Mesh

        self._mesh = Mesh(static_image_mode=True, max_num_faces=1)

    def __call__(self, pictures: Tensor) -> list[bool]:
        """uint8 [B, 3, H, W] -> for each whether it shows a face."""
        rows = pictures.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return [bool(self._mesh.process(picture).multi_face_landmarks) for picture in rows]
