# %% [markdown]
# # Let the model call functions
# Any annotated function is a tool. The small model calls none: a script plays Qwen3-VL.
#
# ![A receipt](pictures/receipt.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend


def convert(amount: float, into: str) -> str:
    """Convert an amount in EUR.

    Args:
        amount: in EUR.
        into: a currency.
    """
    return f"{amount * 1.08:.2f} {into}"


script = [
    '<tool_call>{"name": "convert", "arguments": {"amount": 62.5, "into": "USD"}}</tool_call>',
    "The total is 62.50 EUR, which is 67.50 USD.",
]
chat = VisionChat(ScriptedBackend(script, family="qwen3_vl"))
run = chat.run_tools("What is the total in dollars?", "pictures/receipt.png", tools=[convert])
for made in run.calls:
    print(made.call.name, dict(made.call.arguments), "->", made.result[0].text)
print(run)
