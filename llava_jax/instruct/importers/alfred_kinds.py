"""What ALFRED's rules let its agent do with each type of thing (gen/constants.py of its code).

They are rules, so they also say what cannot be done. The names are AI2-THOR's.
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

# A trajectory lists the pose of everything of these types, so their absence is known. Left out is
# what people call by each other's names: cups and mugs, knives, towels, rolls of paper.
CARRIED = tuple(
    """
    AlarmClock Apple BaseballBat BasketBall Book Bowl Box Bread CD Candle CellPhone Cloth CreditCard
    DishSponge Egg Fork Glassbottle Kettle KeyChain Ladle Laptop Lettuce Newspaper Pan Pen Pencil
    PepperShaker Pillow Plate Plunger Pot Potato RemoteControl SaltShaker SoapBar SoapBottle Spatula
    Spoon SprayBottle Statue TennisRacket TissueBox Tomato Vase Watch WateringCan WineBottle
    """.split()  # noqa: SIM905
)
