"""A model that calls functions: `python examples/tools.py`.

The small model of the package cannot call functions, so that its part is played from a script; with
a larger one, `VisionChat.from_pretrained("Qwen/Qwen3-VL-8B-Instruct")` takes the script's place.
"""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend

RECEIPT = Path(__file__).parent / "pictures" / "receipt.png"

SCRIPT = [
    'I look closer. <tool_call>{"name": "enlarge", "arguments": {"top": 0.5}}</tool_call>',
    '<tool_call>{"name": "convert", "arguments": {"amount": 62.5, "into": "USD"}}</tool_call>'
    '<tool_call>{"name": "convert", "arguments": {"amount": "all"}}</tool_call>',
    "The total is 62.50 EUR, which is 67.50 USD.",
]


def enlarge(top: float) -> PIL.Image.Image:
    """Show the lower part of the receipt, twice as large.

    Args:
        top: where it begins, as a share of the height.
    """
    image = PIL.Image.open(RECEIPT)
    part = image.crop((0, round(image.height * top), image.width, image.height))
    return part.resize((part.width * 2, part.height * 2))


def convert(amount: float, into: str) -> str:
    """Convert an amount in EUR.

    Args:
        amount: in EUR.
        into: a currency.
    """
    return f"{amount * 1.08:.2f} {into}"


def main() -> None:
    chat = VisionChat(ScriptedBackend(SCRIPT))
    run = chat.run_tools("What is the total in dollars?", RECEIPT, tools=[enlarge, convert])
    for made in run.calls:
        told = made.result[0]
        print(made.call.name, dict(made.call.arguments), "->", getattr(told, "text", told))
    print(f"\n{run}")


if __name__ == "__main__":
    main()
