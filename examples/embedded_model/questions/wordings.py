"""At least eight wordings a question. The package itself sends some of them word for word."""

from __future__ import annotations

import random

WORDINGS: dict[str, tuple[str, ...]] = {
    "describe": (
        "Describe this image.", "What is in this image?", "What is this?", "Describe the image.",
        "Describe this picture.", "What is in the picture?", "What do you see?",
        "What does the picture show?", "What is shown here?", "Tell me what you see.",
    ),
    "colour": (
        "What colour is the {kind}?", "What color is the {kind}?",
        "Which colour does the {kind} have?", "Which color is the {kind}?",
        "What is the colour of the {kind}?", "What is the color of the {kind}?",
        "Tell me the colour of the {kind}.", "The {kind} is what colour?",
    ),
    "shape": (
        "What shape is {colour}?", "Which shape is {colour}?", "What is the {colour} shape?",
        "What is the {colour} thing?", "What is the shape of the {colour} object?",
        "Which object is {colour}?", "Name the {colour} shape.", "What kind of shape is {colour}?",
    ),
    "count": (
        "How many shapes are there?", "How many objects are there?",
        "How many shapes are in the image?", "How many objects are in the image?",
        "How many things do you see?", "Count the shapes.", "Count the objects.",
        "What is the number of shapes?", "How many shapes do you see?",
    ),
    "count_colour": (
        "How many {colour} shapes are there?", "How many {colour} objects are there?",
        "How many shapes are {colour}?", "How many objects are {colour}?",
        "Count the {colour} shapes.", "Count the {colour} objects.",
        "How many {colour} shapes are in the image?", "How many {colour} things do you see?",
    ),
    "count_shape": (
        "How many {kinds} are there?", "How many {kinds} are in the image?",
        "How many {kinds} do you see?", "Count the {kinds}.", "What is the number of {kinds}?",
        "How many {kinds} does the picture show?", "How many {kinds} are in the picture?",
        "How many {kinds} are shown?",
    ),
    "relation": (
        "Where is the {first} relative to the {second}?",
        "Where is the {first} as seen from the {second}?",
        "Where is the {first} compared with the {second}?",
        "On which side of the {second} is the {first}?",
        "Seen from the {second}, where is the {first}?",
        "In which direction from the {second} is the {first}?",
        "Where does the {first} stand relative to the {second}?",
        "Relative to the {second}, where is the {first}?",
    ),
    "relation_yes_no": (
        "Is the {first} {relation} the {second}?", "Is the {first} placed {relation} the {second}?",
        "Does the {first} stand {relation} the {second}?",
        "Is it true that the {first} is {relation} the {second}?",
        "Can you see the {first} {relation} the {second}?",
        "Is the {first} shown {relation} the {second}?",
        "Do you see the {first} {relation} the {second}?",
        "The {first} is {relation} the {second}, yes or no?",
    ),
    "compare": (
        "Compare these images. What is different?", "What changed between the two images?",
        "What is different in the second image?", "Compare the two images.",
        "What is the difference between these images?", "What has changed?",
        "Which change do you see?", "How does the second picture differ?",
        "What changed from the first picture to the second?",
    ),
    "same": (
        "Are the two images the same?", "Are these images the same?",
        "Do the two pictures show the same?", "Is the second image the same as the first?",
        "Are both pictures equal?", "Are these pictures equal?",
        "Do these images show the same?", "Is the second picture equal to the first?",
    ),
    "video": (
        "Describe this video.", "What happens in this video?", "What happens in the video?",
        "Describe the video.", "What is in this video?", "What does the video show?",
        "What do you see?", "Tell me what happens.", "What is happening?",
    ),
    "direction": (
        "Which way does it move?", "In which direction does it move?",
        "Which way does the {kind} move?", "In which direction does the {kind} move?",
        "Where does the {kind} go?", "What is the direction of the motion?",
        "Which direction does the {colour} {kind} move in?", "Where is it moving?",
        "In which direction does the {colour} {kind} move?",
    ),
    "kind": (
        "What kind of document is this?", "What type of document is this?",
        "Which kind of document is this?", "What document is this?",
        "What sort of document is this?", "What kind of document do you see?",
        "Which document is this?", "What is the kind of this document?",
    ),
    "total": (
        "What is the total?", "What is the total amount?", "How much is the total?",
        "What is the amount due?", "Tell me the total.", "What does it cost in total?",
        "Which total is printed?", "How much is to be paid?", "Read the total.", "Total?",
    ),
    "tax": (
        "What is the tax?", "How much tax is there?", "How much is the tax?",
        "What is the amount of tax?", "Tell me the tax.", "Which tax is printed?",
        "How much VAT is there?", "Read the tax.", "Tax?",
    ),
    "date": (
        "What is the date?", "Which date is printed?", "What date is on the document?",
        "When was this issued?", "Tell me the date.", "On which date was this issued?",
        "What is the date of this document?", "Read the date.", "Date?",
    ),
    "quantity": (
        "What is the quantity?", "How many were ordered?", "Which quantity is printed?",
        "Tell me the quantity.", "How many pieces are there?", "Read the quantity.",
        "What quantity is on the document?", "How large is the quantity?", "Quantity?",
    ),
    "number": (
        "What is the number?", "What is the document number?", "Which number is printed?",
        "Tell me the number.", "What number does it have?", "Read the number.",
        "What is the number of this document?", "Which number does the document have?", "Number?",
    ),
    "name": (
        "What is the name?", "Which name is printed?", "Who is the customer?", "Tell me the name.",
        "What name is on the document?", "Whose name is this?", "Read the name.",
        "What is the name of the customer?", "Name?",
    ),
    "read": (
        "Read all the text in this image.", "Read the text.", "What does it say?",
        "What is written here?", "What text is in the image?", "Read this.",
        "What does the text say?", "Read the text in this image.", "What is printed here?",
    ),
    "translate": (
        "Translate the text in this image into English.", "Translate to English.",
        "Translate the menu to English.", "Translate this into English.",
        "Translate the menu into English.", "What is this in English?",
        "What does the menu say in English?", "What is on the menu, in English?",
        "Translate the text to English.",
    ),
    "price": (
        "How much is the {food}?", "What is the price of the {food}?", "What does the {food} cost?",
        "How much does the {food} cost?", "Tell me the price of the {food}.",
        "Which price does the {food} have?", "What do I pay for the {food}?",
        "How much for the {food}?",
    ),
    "locate": (
        "Find {what} in this image with grounding.", "Find {what} in this image with grounding.",
        "Find {what}.", "Find {what} in the image.", "Where is {what}?", "Where do you see {what}?",
        "Locate {what}.", "Locate {what} in this image.", "Detect the bounding box of {what}.",
        "Show me {what}.",
    ),
    "claim": (
        "Is this true of the image: {statement}\nAnswer yes or no.",
        "Is this true of the image: {statement}\nAnswer yes or no.",
        "{statement} Is that true?", "Is this true? {statement}", "{statement} Yes or no?",
        "Is it true? {statement}", "True of the image? {statement}",
        "Does the image show this: {statement}",
    ),
}  # fmt: skip

YES_OR_NO = "\nAnswer yes or no."
A_NUMBER = "\nAnswer with a number."
HINTS = {
    "same": YES_OR_NO, "relation_yes_no": YES_OR_NO,
    "count": A_NUMBER, "count_colour": A_NUMBER, "count_shape": A_NUMBER, "quantity": A_NUMBER,
}  # fmt: skip
DOCUMENT_ONLY = "\nAnswer from this document only, as briefly as possible."
SYSTEM = (
    "You are a helpful assistant.", "You are Qwen.", "Answer briefly.", "Be brief.",
    "You are a helpful assistant that answers questions about images.",
    "You look at pictures and answer questions.", "Answer in English.", "Answer with care.",
    "You are an expert in reading documents.", "Answer only what is asked.",
    "You are a careful assistant.", "Look at the image and answer the question.",
)  # fmt: skip


def vary(rng: random.Random, question: str) -> str:
    """Sometimes without its last mark, or without the capital."""
    if rng.random() < 0.1:
        question = question.rstrip("?.")
    if rng.random() < 0.08:
        question = question[0].lower() + question[1:]
    return question


def ask(rng: random.Random, task: str, **names: str) -> str:
    """A wording of the question of `task`."""
    question = vary(rng, rng.choice(WORDINGS[task]).format(**names))
    if task in HINTS and rng.random() < 0.3:
        question += HINTS[task]
    return question


def system_message(rng: random.Random) -> str:
    """A system message: a usual one, or any words."""
    if rng.random() < 0.8:
        return rng.choice(SYSTEM)
    words = " ".join(SYSTEM).split()
    return " ".join(rng.choice(words) for _ in range(rng.randint(2, 9)))
