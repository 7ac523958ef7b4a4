"""Two images: a park, whose captions say all that is asked, and a crossing, whose boxes do."""

from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene, captions
from llava_jax.instruct.teacher.few_shots.example import Example, turns
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS

PARK = Scene(
    id="park",
    source="invented",
    license="Apache-2.0",
    image="park.jpg",
    width=640,
    height=480,
    texts=captions(
        "Two dogs run after a red frisbee on a lawn.",
        "A woman in a yellow coat sits on a bench and watches two dogs play.",
        "Dogs chase a flying disc while a lady looks on from the right.",
        "Two dogs playing in the grass on a sunny day in autumn.",
        "A seated woman and two running dogs in a park full of fallen leaves.",
    ),
    entities=(
        Entity("dog", Box(0.12, 0.55, 0.3, 0.8)),
        Entity("dog", Box(0.32, 0.5, 0.48, 0.74)),
        Entity("frisbee", Box(0.36, 0.28, 0.44, 0.34)),
        Entity("person", Box(0.74, 0.34, 0.9, 0.82)),
        Entity("bench", Box(0.68, 0.5, 0.97, 0.86)),
        Entity("handbag", Box(0.6, 0.76, 0.67, 0.88)),
    ),
    exhaustive=Exhaustive(("person", "dog", "cat", "frisbee", "bench", "handbag", "bicycle")),
)

CROSSING = Scene(
    id="crossing",
    source="invented",
    license="Apache-2.0",
    image="crossing.jpg",
    width=640,
    height=480,
    texts=captions(
        "A bus waits at a traffic light in a rainy city.",
        "People with umbrellas cross the street in front of a bus.",
        "A wet street with a double-decker bus and pedestrians.",
        "Pedestrians hurry over a crosswalk on a gray day.",
        "A big red bus has stopped for people who cross.",
    ),
    entities=(
        Entity("bus", Box(0.04, 0.12, 0.4, 0.78)),
        Entity("traffic light", Box(0.92, 0.06, 0.98, 0.24)),
        Entity("person", Box(0.46, 0.48, 0.53, 0.84)),
        Entity("person", Box(0.57, 0.46, 0.64, 0.85)),
        Entity("person", Box(0.72, 0.47, 0.79, 0.83)),
        Entity("umbrella", Box(0.42, 0.36, 0.56, 0.48)),
        Entity("umbrella", Box(0.54, 0.34, 0.68, 0.46)),
    ),
    exhaustive=Exhaustive(
        ("person", "bus", "car", "bicycle", "traffic light", "umbrella", "dog", "handbag")
    ),
)

EXAMPLES = (
    Example(
        PARK,
        captions_suffice=True,
        responses={
            "conversation": turns(
                ("How many dogs are there?", "There are two dogs, and both of them are running."),
                (
                    "What are they chasing?",
                    "They are running after a red frisbee that flies through the air.",
                ),
                (
                    "What is the woman doing?",
                    "She is sitting on a bench on the right and watches the dogs.",
                ),
                ("What color is her coat?", "Her coat is yellow."),
                (
                    "Which season does the picture show, and how can one tell?",
                    "It is autumn: although the sun is shining, the grass is full of fallen "
                    "leaves, and the woman wears a coat.",
                ),
                (
                    "Why might she have chosen this place to sit?",
                    "The lawn is open, so the dogs can run at full speed, and from the bench she "
                    "keeps both of them in sight without standing in their way. She can rest in "
                    "the sun and still call them back at any time.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["image"][0],
                    "Two dogs are running across a lawn on a sunny day in autumn, with fallen "
                    "leaves on the grass around them. Both are in the left half of the picture, "
                    "one of them further to the left than the other. They are after a red "
                    "frisbee, which flies above the two of them.\n\n"
                    "On the right, a woman in a yellow coat is sitting on a bench and watches the "
                    "chase. A handbag stands to the left of the bench, between the woman and the "
                    "dogs.",
                )
            ),
            "complex": turns(
                (
                    "What should the woman keep in mind if she wants to leave soon?",
                    "Both dogs are in full chase of the frisbee, and a dog that hunts something "
                    "hardly listens, so it would be wise to wait until one of them has caught the "
                    "disc. Then she can call them to the bench and take the disc away, which ends "
                    "the game in a way that they understand. She should also look to her left "
                    "before she goes: a handbag stands there beside the bench, and somebody who "
                    "is busy with two excited dogs easily forgets such a thing.",
                )
            ),
        },
    ),
    Example(
        CROSSING,
        responses={
            "conversation": turns(
                ("How many people are crossing the street?", "Three people are crossing it."),
                (
                    "Are there enough umbrellas for everybody in the picture?",
                    "No. Only two umbrellas are open, held over the two people closer to the bus; "
                    "the person furthest to the right walks without one.",
                ),
                (
                    "On which side of the people is the bus?",
                    "The bus is to the left of all three people.",
                ),
                ("Can you see a bicycle?", "No, there is no bicycle on the street."),
                (
                    "Where is the traffic light?",
                    "It is at the top right, to the right of the people and above them.",
                ),
                (
                    "Why should the driver be careful when the bus moves on?",
                    "The street is wet, so the tires grip less and a heavy double-decker needs a "
                    "longer way to stop. People who hurry through the rain also tend to look down, "
                    "and somebody could still step onto the crosswalk at the last moment. It is "
                    "safer to start slowly once the crosswalk is empty.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["image"][0],
                    "It is a gray, rainy day in a city. A big red double-decker bus has stopped on "
                    "the left side of the picture, where it takes up a large part of the wet "
                    "street. In front of it, three people hurry over a crosswalk. They are spread "
                    "from the middle of the picture to the right, all of them to the right of the "
                    "bus.\n\n"
                    "Two umbrellas are open above the two people closer to the bus, and the third "
                    "person, a little apart on the right, walks in the rain without one. A traffic "
                    "light hangs at the top right, higher than everybody's head.",
                )
            ),
            "complex": turns(
                (
                    "Who is going to arrive in the worst state, and what could be done about it "
                    "right now?",
                    "The person on the far right is going to arrive wet: three people are out in "
                    "the rain, but there are only two umbrellas, and both are held over the other "
                    "two. As all of them cross in the same direction or at least at the same time, "
                    "the simplest help is to share. The person next to them could slow down for a "
                    "few steps and offer half of an umbrella until the other side is reached. "
                    "Running would be the worse choice, since the crosswalk is slippery and a "
                    "large bus stands right beside it.",
                )
            ),
        },
    ),
)
