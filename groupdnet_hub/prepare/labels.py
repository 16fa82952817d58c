"""Tables of the raw data's label sets, and of the classes that each of their labels is merged into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from groupdnet_hub import LabelSet
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, PEOPLE16_IN_PEOPLE8
from groupdnet_hub.io.strict_json import read_short_text

LABEL_SETS = {"people8": PEOPLE, "people16": PEOPLE16}
# In a table: the body or garment class that is nearest in the picture.
NEAREST = "nearest"

# Look Into Person: the 20 ids in their published order, each with its class. The paper parses DeepFashion with a
# parser trained on it, and leaves out pictures with a glove; with --keep_gloves a glove is skin.
LIP = {
    "background": "background",
    "hat": "hat",
    "hair": "hair",
    "glove": "skin",
    "sunglasses": "glasses",
    "upper-clothes": "top",
    "dress": "dress",
    "coat": "outerwear",
    "socks": "legwear",
    "pants": "trousers",
    "jumpsuits": "dress",
    "scarf": "scarf",
    "skirt": "skirt",
    "face": "face",
    "left-arm": "skin",
    "right-arm": "skin",
    "left-leg": "skin",
    "right-leg": "skin",
    "left-shoe": "shoes",
    "right-shoe": "shoes",
}

# Crowd Instance-level Human Parsing: LIP's order, but id 10 is the skin of the torso.
CIHP = {
    ("torso-skin" if name == "jumpsuits" else name): ("skin" if name == "jumpsuits" else class_)
    for name, class_ in LIP.items()
}

# ATR (Active Template Regression): 18 ids. Its upper-clothes are coats too.
ATR = {
    "background": "background",
    "hat": "hat",
    "hair": "hair",
    "sunglasses": "glasses",
    "upper-clothes": "top",
    "skirt": "skirt",
    "pants": "trousers",
    "dress": "dress",
    "belt": "belt",
    "left-shoe": "shoes",
    "right-shoe": "shoes",
    "face": "face",
    "left-leg": "skin",
    "right-leg": "skin",
    "left-arm": "skin",
    "right-arm": "skin",
    "bag": "bag",
    "scarf": "scarf",
}

PARSER_RULES = {"lip": LIP, "cihp": CIHP, "atr": ATR}

# The 59 tags of Clothing Co-Parsing. ccp.py splits `skin` into face and skin, and turns some dresses into
# skirts and the lower half of some suits into trousers. Photos with gloves are left out; with --keep_gloves a glove is
# skin.
CCP = {
    "null": "background",
    "hair": "hair",
    "hat": "hat",
    **dict.fromkeys(("glasses", "sunglasses"), "glasses"),
    **dict.fromkeys(("skin", "gloves"), "skin"),
    **dict.fromkeys(("blouse", "bodysuit", "bra", "hoodie", "intimate", "jumper", "shirt", "sweater"), "top"),
    **dict.fromkeys(("sweatshirt", "swimwear", "t-shirt", "tie", "top"), "top"),
    **dict.fromkeys(("blazer", "cape", "cardigan", "coat", "jacket", "suit", "vest"), "outerwear"),
    **dict.fromkeys(("dress", "romper"), "dress"),
    "skirt": "skirt",
    **dict.fromkeys(("jeans", "leggings", "panties", "pants", "shorts"), "trousers"),
    **dict.fromkeys(("socks", "stockings", "tights"), "legwear"),
    **dict.fromkeys(("boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes"), "shoes"),
    **dict.fromkeys(("sneakers", "wedges"), "shoes"),
    **dict.fromkeys(("bag", "purse", "wallet"), "bag"),
    "scarf": "scarf",
    "belt": "belt",
    **dict.fromkeys(("accessories", "bracelet", "earrings", "necklace", "ring", "watch"), NEAREST),
}


def rules_for(labels: LabelSet, rules: Mapping[str, str]) -> dict[str, str]:
    """Return a table from raw names to the classes of ``labels``.

    For the 8 classes, the 16 are merged by :data:`PEOPLE16_IN_PEOPLE8`, except the belt, which becomes the nearest
    class as jewellery does.

    Args:
        labels: :data:`PEOPLE` or :data:`PEOPLE16`.
        rules: table to classes of :data:`PEOPLE16`: :data:`CCP`, or one of :data:`PARSER_RULES`.
    """
    if labels == PEOPLE16:
        return dict(rules)
    return {
        name: NEAREST if class_ == "belt" else PEOPLE16_IN_PEOPLE8.get(class_, class_)
        for name, class_ in rules.items()
    }


def missing_classes(labels: LabelSet, parser: str) -> list[str]:
    """Return the classes of ``labels`` that maps of a parser, ``lip``, ``cihp`` or ``atr``, cannot hold."""
    given = set(rules_for(labels, PARSER_RULES[parser]).values())
    return [name for name in labels.names if name not in given]


# Photos of Clothing Co-Parsing that show one person in the same clothes: both go into the same split.
CCP_SAME_OUTFIT = {
    "0722": "0594",
    "0223": "0183",
    "0730": "0616",
    "0732": "0692",
    "0671": "0197",
    "0398": "0312",
    "0649": "0366",
    "0984": "0078",
    "0990": "0907",
}

# Cityscapes: the names of the labelIds 0 to 33. The licence plate has the id -1 there; the official maps do not draw
# it, and tools that do write 255. Here it has the 35th id, 34, as in the paper's network of 35 classes.
CITYSCAPES = LabelSet.from_names(
    (
        *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground"),
        *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge"),
        *("tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
        *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
        "license plate",
    )
)
CITYSCAPES_PLATE_BYTE = 255
CITYSCAPES_PLATE = CITYSCAPES.id_of("license plate")


def parser_label_set(name: str) -> LabelSet:
    """Return the label set of a parser's maps, ``lip``, ``cihp`` or ``atr``, in the colours that parsers write."""
    return LabelSet.from_names(list(PARSER_RULES[name]))


def ade20k_label_set(folder: Path) -> LabelSet:
    """Return the 151 classes of ADE20K's scene parsing maps, where 0 is "other".

    Args:
        folder: folder whose ``objectInfo150.txt`` has the names; without it they are ``label-1`` to ``label-150``.

    Raises:
        ValueError: if that file is not the table of 150 names.
    """
    path = folder / "objectInfo150.txt"
    if not path.is_file():
        return LabelSet.from_names(["other", *(f"label-{i}" for i in range(1, 151))])
    synonyms: dict[int, list[str]] = {}
    for line in read_short_text(path, str(path)).split("\n"):
        columns = [column.strip() for column in line.split("\t") if column.strip()]
        if len(columns) >= 2 and columns[0].isdecimal():
            synonyms[int(columns[0])] = [word.strip() for word in columns[-1].split(",")]
    if sorted(synonyms) != list(range(1, 151)):
        raise ValueError(
            f"{path} is not ADE20K's table of the classes 1 to 150: {len(synonyms)} classes were read from it. "
            "Download it again, or remove it to use the names label-1 to label-150"
        )
    first = [synonyms[i][0] for i in range(1, 151)]
    # Two classes with the same first name are named by all their synonyms.
    names = [", ".join(synonyms[i + 1]) if first.count(name) > 1 else name for i, name in enumerate(first)]
    return LabelSet.from_names(["other", *names])
