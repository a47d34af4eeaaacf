"""English wordings, eight or more a question. The package itself sends some of them word for word.

`HELD_OUT` are asked for measuring only.
"""

from __future__ import annotations

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
    "inside": (
        "Is the {first} inside the {second}?", "Is the {first} in the {second}?",
        "Does the {first} lie inside the {second}?", "Does the {second} contain the {first}?",
        "Is the {first} within the {second}?", "Is the {second} around the {first}?",
        "Do you see the {first} inside the {second}?", "Is the {first} drawn inside the {second}?",
    ),
    "larger": (
        "Is the {first} larger than the {second}?", "Is the {first} bigger than the {second}?",
        "Is it true that the {first} is larger than the {second}?",
        "Of the two, is the {first} the larger one, not the {second}?",
        "The {first} is larger than the {second}, yes or no?",
        "Do you see that the {first} is bigger than the {second}?",
        "Is the {second} smaller than the {first}?",
        "Compared with the {second}, is the {first} larger?",
    ),
    "which_larger": (
        "Which is larger, the {first} or the {second}?",
        "Which is bigger, the {first} or the {second}?",
        "Which one is larger: the {first} or the {second}?",
        "Of the {first} and the {second}, which is larger?",
        "Is the {first} or the {second} larger?",
        "Tell me which is larger, the {first} or the {second}.",
        "Name the larger one: the {first} or the {second}.",
        "Which of the {first} and the {second} is bigger?",
    ),
    "same_colour": (
        "Are the {first} and the {second} the same colour?",
        "Do the {first} and the {second} have the same colour?",
        "Do the {first} and the {second} have the same color?",
        "Is the colour of the {first} that of the {second}?",
        "Are the {first} and the {second} of one colour?",
        "Is the {first} of the same colour as the {second}?",
        "The {first} and the {second} have the same colour, yes or no?",
        "Does the {first} share its colour with the {second}?",
    ),
    "same_shape": (
        "Do the {first} and the {second} have the same shape?",
        "Are the {first} and the {second} the same shape?",
        "Is the shape that is {first} the same as the one that is {second}?",
        "Are the {first} shape and the {second} shape of one kind?",
        "Is the {first} thing of the same kind as the {second} thing?",
        "The {first} one and the {second} one have the same shape, yes or no?",
        "Does the {first} shape look like the {second} shape?",
        "Do the {first} object and the {second} object have one shape?",
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
    "appear": (
        "When does the {kind} appear?", "At which second does the {kind} appear?",
        "When does the {colour} {kind} appear?", "At which second does it appear?",
        "After how many seconds does the {kind} appear?", "When do you first see the {kind}?",
        "When is the {colour} {kind} first seen?", "In which second does the {colour} {kind} come?",
    ),
    "disappear": (
        "When does the {kind} disappear?", "At which second does the {kind} disappear?",
        "When does the {colour} {kind} disappear?", "At which second does it disappear?",
        "After how many seconds does the {kind} disappear?", "When is the {kind} gone?",
        "From when on is the {colour} {kind} gone?", "In which second does the {colour} {kind} go?",
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

HELD_OUT: dict[str, tuple[str, ...]] = {
    "describe": ("What can be seen in this picture?", "Say what the image shows."),
    "colour": ("In which colour is the {kind} drawn?", "The colour of the {kind}, please."),
    "shape": ("What is the shape of the {colour} thing?", "The {colour} object is which shape?"),
    "count": ("How many shapes can you find?", "Tell me the number of objects."),
    "count_colour": (
        "What is the number of {colour} shapes?", "How many of the shapes are {colour}?",
    ),
    "count_shape": ("How many {kinds} can you find?", "Tell me the number of {kinds}."),
    "relation": (
        "Where is the {first}, seen from the {second}?",
        "On which side of the {second} do you see the {first}?",
    ),
    "relation_yes_no": (
        "Would you say that the {first} is {relation} the {second}?",
        "Is it right that the {first} is {relation} the {second}?",
    ),
    "inside": (
        "Is the {first} placed inside the {second}?",
        "Is it true that the {first} is inside the {second}?",
    ),
    "larger": (
        "Would you say that the {first} is larger than the {second}?",
        "Is the {first} the larger one of the {first} and the {second}?",
    ),
    "which_larger": (
        "Which one is bigger, the {first} or the {second}?",
        "The larger one of the {first} and the {second} is which?",
    ),
    "same_colour": (
        "Is it true that the {first} and the {second} have the same colour?",
        "Is there one colour for the {first} and the {second}?",
    ),
    "same_shape": (
        "Is it true that the {first} one and the {second} one are the same shape?",
        "Are the {first} thing and the {second} thing the same shape?",
    ),
    "compare": ("Tell me what changed.", "Which difference do you see between the two images?"),
    "same": ("Do the two images show the same?", "Is the first picture equal to the second?"),
    "video": ("What do you see in this video?", "Tell me what happens in the video."),
    "direction": ("Where does it go?", "In which direction is the {kind} moving?"),
    "appear": (
        "At what second does the {colour} {kind} appear?", "When does it appear in the video?",
    ),
    "disappear": (
        "At what second does the {colour} {kind} disappear?", "When does it disappear?",
    ),
    "kind": (
        "Is this an invoice, a receipt or another kind of document?",
        "Tell me the kind of this document.",
    ),
    "total": ("What is the total of this document?", "How much do I pay in total?"),
    "tax": ("What amount of tax is printed?", "How much is the VAT?"),
    "date": ("What date is printed here?", "Which date does the document have?"),
    "quantity": ("What number of pieces is printed?", "The quantity, please."),
    "number": ("What is the number on the document?", "Which number do you see?"),
    "name": ("Which name is on the document?", "Tell me the name of the customer."),
    "read": ("Tell me what is written here.", "Which text do you see?"),
    "translate": ("What does this say in English?", "Read the menu in English."),
    "price": ("How much do I pay for the {food}?", "The price of the {food}, please."),
    "locate": ("Show me where {what} is.", "In this image, find {what}."),
    "claim": ("Is this right? {statement}", "{statement} Is this true of the image?"),
}  # fmt: skip

YES_OR_NO = "\nAnswer yes or no."
A_NUMBER = "\nAnswer with a number."
HINTS = {
    "same": YES_OR_NO, "relation_yes_no": YES_OR_NO, "inside": YES_OR_NO, "larger": YES_OR_NO,
    "same_colour": YES_OR_NO, "same_shape": YES_OR_NO,
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
