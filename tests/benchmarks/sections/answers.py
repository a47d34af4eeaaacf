"""Whole questions, answered by the embedded model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image, ImageDraw

from tests.benchmarks.by_kit import ask, ask_many, cold
from tests.benchmarks.by_transformers import Answers, one_by_one, snippet
from tests.benchmarks.measuring import Case, Run, Side, case_table, timed
from tests.benchmarks.models import Messages, Subject, greedy, opened, question_about

NUM_TOKENS, NUM_PICTURES = 24, 16
QUESTION = "Describe this image."


def section() -> list[str]:
    """One picture, and sixteen, beside what one would write without the kit."""
    with opened("embedded") as subject:
        return [
            "The embedded model on small pictures whose size needs no change, fp32, greedy, at "
            f"most {NUM_TOKENS} tokens. Nothing is kept between rounds.",
            "",
            *case_table(cases(subject)),
        ]


def cases(subject: Subject) -> list[Case]:
    """One question, and one about each of many pictures."""
    asked = [question_about(shape(index), QUESTION) for index in range(NUM_PICTURES)]
    sampling, lengths = greedy(NUM_TOKENS), [NUM_TOKENS] * NUM_PICTURES

    def texts(run: Run) -> Run:
        decode = subject.processor.tokenizer.decode
        told = [str(decode(ids, skip_special_tokens=True)) for ids in run.answers]
        return replace(run, answers=told)

    def by_hand(act: Callable[[], Answers]) -> Side:
        return lambda: texts(timed(act))

    return [
        Case(
            "1 picture by `ask`",
            lambda: texts(cold(subject, lambda: ask(subject.chat, asked[0], sampling))),
            {"snippet of the model card": by_hand(lambda: snippet(subject, asked[:1], NUM_TOKENS))},
            num_pairs=8,
        ),
        Case(
            f"{NUM_PICTURES} pictures by `ask_many`",
            lambda: texts(cold(subject, lambda: ask_many(subject.chat, asked, sampling))),
            {
                "snippet in a loop": by_hand(lambda: one_by_one(subject, asked, lengths)),
                "one padded batch": by_hand(lambda: snippet(subject, asked, NUM_TOKENS)),
                "transformers' pipeline, one batch": _pipeline(subject, asked),
            },
        ),
    ]


def _pipeline(subject: Subject, asked: Sequence[Messages]) -> Side:
    """`pipeline("image-text-to-text")`, its batch as large as the kit's."""
    from transformers import pipeline

    pipe = pipeline("image-text-to-text", model=subject.model, processor=subject.processor)
    choice = {
        "max_new_tokens": NUM_TOKENS,
        "do_sample": False,
        "eos_token_id": sorted(subject.end_ids),
    }

    def act() -> list[str]:
        results = pipe(
            text=list(asked),
            batch_size=len(asked),
            return_full_text=False,
            generate_kwargs=choice,
        )
        return [str(result[0]["generated_text"]) for result in results]

    return lambda: timed(act)


def shape(index: int) -> Image.Image:
    """A picture of a disc or a square, which the embedded model can describe."""
    colours = ("red", "blue", "green", "orange", "purple", "black")
    image = Image.new("RGB", (224, 196), "white")
    left, top = 20 + 9 * (index % 10), 20 + 7 * (index % 9)
    draw = ImageDraw.Draw(image)
    draw_it = draw.ellipse if index % 2 else draw.rectangle
    draw_it((left, top, left + 70, top + 70), fill=colours[index % 6])
    return image
