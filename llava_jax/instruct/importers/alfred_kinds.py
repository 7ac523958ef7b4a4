"""What ALFRED's rules let its agent do with each type of thing (gen/constants.py of its code).

They are rules, so they also say what cannot be done. AI2-THOR's type names; a thing that can be
carried is one whose pose a trajectory lists.
"""

_KINDS = {
    "open": "Fridge Cabinet Microwave Drawer Safe Box",
    "toggle": "DeskLamp FloorLamp",
    "slice": "Apple Bread Egg Lettuce Potato Tomato",
    "heat": "Apple Bread Cup Egg Mug Plate Potato Tomato",
    "cool": "Apple Bowl Bread Cup Egg Lettuce Mug Pan Plate Pot Potato Tomato WineBottle",
    "clean": "Apple Bowl ButterKnife Cloth Cup DishSponge Egg Fork Kettle Knife Ladle Lettuce Mug "
    "Pan Plate Pot Potato SoapBar Spatula Spoon Tomato",
}
AFFORDANCES = {verb: frozenset(kinds.split()) for verb, kinds in _KINDS.items()}
