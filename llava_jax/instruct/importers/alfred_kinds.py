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

# A trajectory lists the pose of everything of these types: of no other type is absence known.
CARRIED = tuple(
    """
    AlarmClock Apple BaseballBat BasketBall Book Boots Bowl Box Bread ButterKnife CD Candle
    CellPhone Cloth CreditCard Cup DishSponge Egg Fork Glassbottle HandTowel Kettle KeyChain Knife
    Ladle Laptop Lettuce Mug Newspaper Pan PaperTowel PaperTowelRoll Pen Pencil PepperShaker Pillow
    Plate Plunger Pot Potato RemoteControl SaltShaker ScrubBrush SoapBar SoapBottle Spatula Spoon
    SprayBottle Statue TeddyBear TennisRacket TissueBox ToiletPaper ToiletPaperRoll Tomato Towel
    Vase Watch WateringCan WineBottle
    """.split()  # noqa: SIM905
)
