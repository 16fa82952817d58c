"""The photos of Clothing Co-Parsing that make up fashion8, the data of the bundled model, and their split.

Numbers are those of the photos with a pixel-level annotation, 0001 to 1004. The split was drawn at random, with pairs
of photos of the same outfit in the training part.
"""

from __future__ import annotations


def _numbers(text: str) -> frozenset[str]:
    return frozenset(f"{int(number):04d}" for number in text.split())


# Backdrop of a photo by its number modulo 4; both of its crops have the same one.
CCP_BACKDROPS = (1, 2, 0, 3)

# 75 photos.
CCP_VALIDATION = _numbers(
    """
    38 73 80 88 99 106 113 118 131 157 175 179 189 198 211 220 241 253 262 274 285 303 332 333 339 349 353
    363 408 414 416 431 446 471 476 479 498 526 556 605 625 645 666 669 681 694 696 708 723 729 750 759 771
    774 777 779 782 801 812 838 846 866 871 874 897 909 935 953 961 962 979 983 992 993 1001
    """
)

# 132 photos: those with gloves, those with an empty or broken annotation or a person hidden by a bag (chosen by eye),
# and 75 that are held out from training and validation alike.
CCP_NOT_USED = _numbers(
    """
    23 34 45 53 56 57 90 100 104 109 121 127 137 141 142 159 161 163 178 192 203 205 206 213 225 230 236 238
    246 255 260 264 266 271 275 283 296 310 313 329 330 337 344 354 358 359 375 378 390 397 400 406 413 415
    423 430 439 451 452 464 468 480 487 503 514 531 534 536 550 557 565 575 576 589 591 599 604 632 637 641
    652 658 663 672 676 693 701 703 704 710 711 724 728 731 740 746 748 755 757 764 781 790 796 797 802 815
    820 821 831 834 837 844 845 852 868 873 877 883 900 914 915 916 917 927 940 941 942 948 955 966 998 1000
    """
)
