"""The values of the paper's tables on DeepFashion, to print beside ours."""

from __future__ import annotations

from collections.abc import Mapping

# By column: name in the paper, direction of better values, digits.
COLUMNS: Mapping[str, tuple[str, str, int]] = {
    "fid": ("FID", "↓", 2),
    "mcsd": ("mCSD", "↑", 4),
    "mocd": ("mOCD", "↓", 4),
    "lpips": ("LPIPS", "↑", 3),
    "miou": ("mIoU", "↑", 1),
    "accuracy": ("Acc", "↑", 1),
    "fps": ("FPS", "↑", 1),
    "params": ("# Para (M)", "↓", 1),
}

_DIVERSITY = ("fid", "mcsd", "mocd", "lpips", "fps", "params")
_QUALITY = ("miou", "accuracy", "fid")

# By table and system: values.
_ROWS: Mapping[int, tuple[tuple[str, ...], Mapping[str, tuple[float, ...]]]] = {
    1: (
        _DIVERSITY,
        {
            "MulNet": (12.07, 0.0244, 0.0019, 0.202, 6.3, 105.1),
            "GroupNet": (12.58, 0.0276, 0.0017, 0.203, 8.2, 97.7),
            "GroupEnc": (10.83, 0.0232, 0.0065, 0.217, 19.6, 105.5),
            "GroupDec": (9.84, 0.0003, 0.0257, 0.206, 12.1, 111.3),
            "VSPADE": (10.02, 0.0304, 0.1843, 0.207, 20.4, 106.8),
            "BicycleGAN": (40.07, 0.0316, 0.2147, 0.228, 66.9, 58.4),
            "DSCGAN": (38.40, 0.0245, 0.1560, 0.163, 67.2, 58.4),
            "GroupDNet": (9.50, 0.0264, 0.0033, 0.228, 12.2, 109.1),
        },
    ),
    2: (
        _QUALITY,
        {
            "BicycleGAN": (76.8, 97.8, 40.07),
            "DSCGAN": (81.0, 98.3, 38.40),
            "pix2pixHD": (85.2, 98.8, 17.76),
            "SPADE": (87.1, 98.9, 10.02),
            "GroupDNet": (87.3, 98.9, 9.50),
        },
    ),
    3: (
        _DIVERSITY,
        {
            "GroupDNet": (9.50, 0.0264, 0.0033, 0.228, 12.2, 109.1),
            "GroupDNet-without-map": (11.01, 0.0253, 0.0036, 0.217, 11.5, 109.3),
            "GroupDNet-without-split": (10.76, 0.0054, 0.0189, 0.216, 12.1, 109.1),
            "GroupDNet-with-GroupNorm": (10.33, 0.0256, 0.0040, 0.225, 12.2, 109.1),
            "GroupDNet-without-SyncBN": (9.76, 0.0251, 0.0037, 0.216, 12.3, 109.1),
            "GroupDNet-without-SpecNorm": (10.42, 0.0290, 0.0153, 0.231, 13.5, 109.0),
        },
    ),
}

# By table, system and column: value.
PAPER_TABLES: Mapping[int, Mapping[str, Mapping[str, float]]] = {
    table: {name: dict(zip(columns, row, strict=True)) for name, row in rows.items()}
    for table, (columns, rows) in _ROWS.items()
}
