"""The devices whose screens a model can use: their tools, prompts and forms of answers.

Sources: `mobile_agent.ipynb` of Qwen3-VL for phones; for computers the form of OSWorld's agent for
Qwen3-VL (`mm_agents/qwen3vl_agent.py`), which its publisher's results were made with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.tasks.computer_use import computer_tool, mobile_tool
from qwenvl_kit.tasks.computer_use.call_arguments import ActionNames

DeviceName: TypeAlias = Literal["computer", "mobile"]
"""A computer with mouse and keyboard, or a phone or tablet with a touchscreen."""

PROMPTS = MappingProxyType(
    {
        "en": "Please generate the next move according to the UI screenshot, instruction and "
        "previous actions.\n\nInstruction: {goal}\n\nPrevious actions:\n{earlier}",
        "zh": "请根据界面截图、任务和之前的操作给出下一步操作。\n\n任务：{goal}\n\n"
        "之前的操作：\n{earlier}",
    }
)
"""The prompts for a computer."""

MOBILE_PROMPTS = MappingProxyType(
    {
        "en": "The user query: {goal}\nTask progress (You have done the following operation on "
        "the current device): {earlier}\n",
        "zh": "用户的任务：{goal}\n任务进度（你已在当前设备上完成以下操作）：{earlier}\n",
    }
)
"""The prompts for a phone."""

RESPONSE_FORMATS = MappingProxyType(
    {
        "en": "# Response format\n\nResponse format for every step:\n"
        "1) Action: a short imperative describing what to do in the UI.\n"
        "2) A single <tool_call>...</tool_call> block containing only the call.\n\n"
        "Rules:\n- Output exactly in the order: Action, <tool_call>.\n"
        "- Be brief: one sentence for Action.\n"
        "- Do not output anything else outside those parts.\n"
        "- If finishing, use action=terminate in the tool call.",
        "zh": "# 回答格式\n\n每一步的回答格式：\n"
        "1) Action: 用一句简短的祈使句说明要在界面上做什么。\n"
        "2) 一个 <tool_call>...</tool_call> 块，其中只有调用。\n\n"
        "规则：\n- 严格按照 Action、<tool_call> 的顺序输出。\n- 简明：Action 用一句话。\n"
        "- 不要输出其他内容。\n- 任务结束时，在调用中使用 action=terminate。",
    }
)
"""The form of an answer for a computer, told in the system message."""

MOBILE_RESPONSE_FORMATS = MappingProxyType(
    {
        "en": "# Response format\n\nResponse format for every step:\n"
        "1) Thought: one concise sentence explaining the next move (no multi-step reasoning).\n"
        "2) Action: a short imperative describing what to do in the UI.\n"
        "3) A single <tool_call>...</tool_call> block containing only the call.\n\n"
        "Rules:\n- Output exactly in the order: Thought, Action, <tool_call>.\n"
        "- Be brief: one sentence for Thought, one for Action.\n"
        "- Do not output anything else outside those three parts.\n"
        "- If finishing, use action=terminate in the tool call.",
        "zh": "# 回答格式\n\n每一步的回答格式：\n"
        "1) Thought: 用一句话简要说明下一步的理由（不要多步推理）。\n"
        "2) Action: 用一句简短的祈使句说明要在界面上做什么。\n"
        "3) 一个 <tool_call>...</tool_call> 块，其中只有调用。\n\n"
        "规则：\n- 严格按照 Thought、Action、<tool_call> 的顺序输出。\n"
        "- 简明：Thought 和 Action 各一句话。\n- 除这三部分外不要输出其他内容。\n"
        "- 任务结束时，在调用中使用 action=terminate。",
    }
)
"""The form of an answer for a phone. The cookbook says "only the JSON"; Qwen3.5 calls in XML."""

_NOTHING = MappingProxyType({"en": "None", "zh": "无"})


@dataclass(frozen=True)
class Device:
    """A device whose screen a model can use.

    Attributes:
        actions: the actions of its tool.
        offer: makes the offer of the tool for a resolution.
        parts: the number of parts of a side of the screen that models with relative coordinates
            are told as the resolution.
        prompts, formats: the prompt and the form of an answer, by language.
        history: writes the earlier steps for the prompt, in a language.
        is_prompt_first: True if the prompt stands before the screenshot.
    """

    actions: ActionNames
    offer: Callable[[Size], ToolOffer]
    parts: int
    prompts: Mapping[str, str]
    formats: Mapping[str, str]
    history: Callable[[Sequence[str], str], str]
    is_prompt_first: bool


def _lines(steps: Sequence[str], language: str) -> str:
    lines = (f"Step {number}: {step}" for number, step in enumerate(steps, start=1))
    return "\n".join(lines) or _NOTHING[language]


def _clauses(steps: Sequence[str], _: str) -> str:
    return "".join(f"Step {number}: {step}; " for number, step in enumerate(steps, start=1))


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        "computer": Device(
            computer_tool.ACTIONS,
            computer_tool.offer,
            1000,
            PROMPTS,
            RESPONSE_FORMATS,
            _lines,
            is_prompt_first=False,
        ),
        "mobile": Device(
            mobile_tool.ACTIONS,
            mobile_tool.offer,
            999,
            MOBILE_PROMPTS,
            MOBILE_RESPONSE_FORMATS,
            _clauses,
            is_prompt_first=True,
        ),
    }
)
