"""What a picture of the scenes style may have, with weights, which need not add up to 100."""

from collections.abc import Mapping

from Utils.demo_booru.places.indoors import INDOORS
from Utils.demo_booru.places.outdoors import OUTDOORS
from Utils.demo_booru.places.prop import Prop
from Utils.demo_booru.places.sky import SKY

PROPS: Mapping[str, Prop] = {**OUTDOORS, **INDOORS, **SKY}
PLACES = {
    "park": 10, "street": 11, "market": 8, "beach": 9, "harbor": 6, "mountain": 6, "farm": 5, "snow": 6,
    "shrine": 5, "classroom": 8, "library": 6, "kitchen": 7, "living_room": 8, "stage": 5,
}  # fmt: skip
INSIDE = ("classroom", "library", "kitchen", "living_room", "stage")
AT_SEA = ("beach", "harbor")
SEA = 0.15  # the share of the height between horizon and shore, where a place has a sea
HORIZON = {
    "park": 0.42, "street": 0.48, "market": 0.45, "beach": 0.5, "harbor": 0.5, "mountain": 0.5, "farm": 0.45,
    "snow": 0.5, "shrine": 0.45, "classroom": 0.62, "library": 0.62, "kitchen": 0.62, "living_room": 0.62,
    "stage": 0.66,
}  # fmt: skip
STANDING = {
    "park": {"tree": 5, "bush": 3, "flowers": 3, "bench": 3, "fountain": 1.5, "lamppost": 2, "ball": 1.5,
             "statue": 1, "fence": 1.5, "basket": 1, "bicycle": 1},
    "street": {"car": 4, "bus": 1.5, "bicycle": 2, "traffic_light": 2.5, "lamppost": 2, "postbox": 1.5,
               "vending_machine": 1.5, "stop_sign": 2, "signboard": 2, "tree": 1},
    "market": {"stall": 4, "basket": 3, "barrel": 2, "cardboard": 2.5, "signboard": 2, "flowers": 1,
               "bucket": 1, "table": 1, "bottle": 1},
    "beach": {"parasol": 3, "ball": 2, "bucket": 2.5, "sand_castle": 2.5, "surfboard": 2.5, "palm": 3},
    "harbor": {"boat": 4, "lighthouse": 2, "barrel": 2.5, "cardboard": 2, "lamppost": 1.5, "bucket": 1,
               "car": 1},
    "mountain": {"pine": 4, "tent": 2.5, "campfire": 2.5, "bush": 2, "windmill": 1.5, "fence": 2,
                 "flowers": 1},
    "farm": {"scarecrow": 2.5, "fence": 3, "windmill": 2, "barrel": 1.5, "tree": 2, "bucket": 1.5,
             "flowers": 2},
    "snow": {"snowman": 3, "pine": 4, "fence": 1.5, "lamppost": 1.5, "tent": 1, "car": 1},
    "shrine": {"torii": 3, "statue": 2.5, "tree": 2.5, "pine": 1.5, "lantern": 2, "fountain": 1, "stall": 1},
    "classroom": {"table": 3, "chair": 4, "globe": 2, "bookshelf": 1.5, "clock": 2, "poster": 2, "window": 2},
    "library": {"bookshelf": 5, "table": 2, "chair": 2.5, "globe": 1.5, "lamp": 2, "painting": 2,
                "potted_plant": 1.5, "clock": 1, "laptop": 1},
    "kitchen": {"stove": 2.5, "refrigerator": 2.5, "table": 2, "chair": 2, "teapot": 2, "cake": 2, "mug": 2,
                "bottle": 2, "curtains": 2, "clock": 1},
    "living_room": {"couch": 3, "television": 2.5, "potted_plant": 2, "lamp": 2, "aquarium": 2,
                    "teddy_bear": 2, "painting": 2, "fireplace": 2, "curtains": 2, "laptop": 1, "mug": 1},
    "stage": {"speaker": 3.5, "drum": 3, "piano": 2.5, "poster": 2.5, "chair": 1, "potted_plant": 0.5},
}  # fmt: skip
_IN_THE_SKY = {
    "cloud": 9, "gull": 4, "airplane": 2, "hot_air_balloon": 2, "balloons": 2, "kite": 2, "rainbow": 1.2,
    "ufo": 0.6,
}  # fmt: skip
SKIES = {"day": {**_IN_THE_SKY, "sun": 5}, "sunset": _IN_THE_SKY,
         "night": {"moon": 6, "fireworks": 4, "lantern": 3, "cloud": 2, "ufo": 1}}  # fmt: skip
ALONE = ("sun", "moon", "rainbow")  # at most one in a picture
HOURS = {"day": 70, "night": 18, "sunset": 12}
LEADS = {0: 10, 1: 40, 2: 32, 3: 18}  # people with attributes
CROWDS = {0: 46, 4: 30, 11: 24}  # how many people without attributes, before those that are hidden leave
ANIMALS = {"cat": 26, "dog": 24, "bird": 16, "rabbit": 10, "penguin": 7, "ghost": 5, "jack-o'-lantern": 6}
FILTERS = {"": 78, "monochrome": 4, "sepia": 3, "film_grain": 4, "blurry": 4, "halftone": 3, "border": 4}
FALLING = {"": 84, "rain": 4, "petals": 4, "autumn_leaves": 4, "confetti": 4}
FALLING_ON_SNOW = {**FALLING, "snowing": 40}
WRITING = {"": 66, "speech_bubble": 14, "title": 9, "signature": 11}
SHARE_OF_CHARACTERS = 0.78
