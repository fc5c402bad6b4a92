"""Every augmentation, in the order in which their effects are applied: flip; zoom and rotation about the centre, and
shift; contrast and brightness; cutout; mixup.
"""

from conviction.training.augmentations.augmentation import Augmentation, PageField
from conviction.training.augmentations.cutout import CUTOUT
from conviction.training.augmentations.flip import FLIP
from conviction.training.augmentations.mixup import MIXUP
from conviction.training.augmentations.moving import ROTATE, SHIFT, ZOOM
from conviction.training.augmentations.tone import BRIGHTNESS, CONTRAST

__all__ = ["AUGMENTATIONS", "Augmentation", "PageField"]

AUGMENTATIONS: list[Augmentation] = [
    FLIP,
    SHIFT,
    ROTATE,
    ZOOM,
    BRIGHTNESS,
    CONTRAST,
    CUTOUT,
    MIXUP,
]
