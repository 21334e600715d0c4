"""A mean face: where the 131 points lie if nothing but the eyes, the nose and the corners of the mouth is known.

Measured for this package: MediaPipe's face mesh of 22 people who look into the camera, each brought to the eyes that
the bundled detector found, averaged, and averaged with the mirror image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.transforms import apply, similarity_from_points

# In thousandths of the distance of the eyes, about the middle between them; y runs down. Five points, in the detector's
# order, and the 131 in the networks' order.
_FIVE = np.array([(-500, 0), (500, 0), (0, 612), (-407, 1051), (407, 1051)]) / 1000
# fmt: off
_ALL = np.array([
    (-1041, -181), (-1060, 39), (-1053, 251), (-1033, 473), (1033, 473), (1053, 251), (1060, 39), (1041, -181),
    (-889, -211), (-802, -287), (-662, -325), (-468, -308), (-238, -269), (-206, -142), (-451, -226), (-630, -247),
    (-757, -223), (-840, -162), (238, -269), (468, -308), (662, -325), (802, -287), (889, -211), (840, -162),
    (757, -223), (630, -247), (451, -226), (206, -142), (0, 12), (0, 141), (0, 252), (0, 351), (0, 457), (-274, 626),
    (-227, 601), (-161, 587), (-87, 582), (0, 583), (87, 582), (161, 587), (227, 601), (274, 626), (-692, 25),
    (-673, 6), (-647, -15), (-599, -40), (-522, -54), (-438, -45), (-356, -9), (-296, 40), (-267, 72), (-290, 76),
    (-340, 79), (-413, 88), (-492, 94), (-569, 89), (-622, 75), (-659, 55), (267, 72), (296, 40), (356, -9),
    (438, -45), (522, -54), (599, -40), (647, -15), (673, 6), (692, 25), (659, 55), (622, 75), (569, 89), (492, 94),
    (413, 88), (340, 79), (290, 76), (-993, 710), (-924, 965), (-828, 1172), (-718, 1324), (-580, 1461), (-463, 1558),
    (-337, 1646), (-190, 1712), (0, 1732), (190, 1712), (337, 1646), (463, 1558), (580, 1461), (718, 1324),
    (828, 1172), (924, 965), (993, 710), (-386, 1050), (-351, 1020), (-301, 990), (-226, 960), (-117, 933), (0, 953),
    (117, 933), (226, 960), (301, 990), (351, 1020), (386, 1050), (352, 1107), (303, 1167), (227, 1233), (123, 1277),
    (0, 1292), (-123, 1277), (-227, 1233), (-303, 1167), (-352, 1107), (-351, 1052), (-297, 1043), (-246, 1036),
    (-179, 1032), (-97, 1035), (0, 1039), (97, 1035), (179, 1032), (246, 1036), (297, 1043), (351, 1052), (294, 1079),
    (246, 1097), (181, 1117), (98, 1133), (0, 1141), (-98, 1133), (-181, 1117), (-246, 1097), (-294, 1079),
]) / 1000
# fmt: on


def placed(five: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 131 points `[131, 2]` in pixels of a picture in which a detector found five points `[5, 2]`.

    The mean face is turned, scaled and shifted, never bent: a face that looks aside or talks is taken for one that does
    neither. Raises FaceError if the five points coincide.
    """
    return apply(similarity_from_points(_FIVE, five), _ALL).astype(np.float32)
