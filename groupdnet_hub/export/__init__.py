"""Models as files that other runtimes read: ONNX, and programs of ``torch.export``."""

from groupdnet_hub.export.model import Exported, export_model

__all__ = ["Exported", "export_model"]
