"""Chinese wordings. The package's tasks send some of them word for word (`language="zh"`).

`HELD_OUT` are asked for measuring only.
"""

from __future__ import annotations

WORDINGS: dict[str, tuple[str, ...]] = {
    "describe": (
        "描述这张图片。", "图中是什么？", "这是什么？", "图里有什么？", "图片里有什么？",
        "你看到了什么？",
        "这张图显示了什么？", "说说这张图片的内容。", "请描述图片。", "用一句话描述这张图片。",
    ),
    "colour": (
        "{kind}是什么颜色？", "{kind}是什么颜色的？", "{kind}的颜色是什么？",
        "图中的{kind}是什么颜色？",
        "{kind}是哪种颜色？", "请说出{kind}的颜色。", "这个{kind}是什么颜色？",
        "{kind}有什么颜色？",
    ),
    "shape": (
        "{colour}的是什么形状？", "{colour}的图形是什么？", "哪个图形是{colour}的？",
        "{colour}的是什么？",
        "{colour}的图形是什么形状？", "什么形状是{colour}的？", "请说出{colour}图形的形状。",
        "{colour}的物体是什么？",
    ),
    "count": (
        "有多少图形？", "有几个图形？", "图中有几个图形？", "一共有几个图形？",
        "图里有多少个物体？",
        "数一数有几个图形。", "图形的数量是多少？", "你看到几个图形？",
    ),
    "count_colour": (
        "有多少{colour}的图形？", "有几个{colour}的图形？", "图中有几个{colour}的图形？",
        "几个图形是{colour}的？",
        "数一数{colour}的图形。", "{colour}的图形有几个？", "你看到几个{colour}的图形？",
        "一共有几个{colour}的图形？",
    ),
    "count_shape": (
        "有多少{kinds}？", "有几个{kinds}？", "图中有几个{kinds}？", "你看到几个{kinds}？",
        "数一数{kinds}。",
        "{kinds}有几个？", "{kinds}的数量是多少？", "一共有几个{kinds}？",
    ),
    "relation": (
        "{first}在{second}的哪边？", "{first}在{second}的什么位置？",
        "{first}在{second}的哪个方向？",
        "从{second}看，{first}在哪里？", "相对于{second}，{first}在哪里？",
        "{first}位于{second}的哪一边？",
        "{second}的哪一边是{first}？", "和{second}相比，{first}在哪里？",
    ),
    "relation_yes_no": (
        "{first}在{second}的{relation}吗？", "{first}是在{second}的{relation}吗？",
        "{first}位于{second}的{relation}吗？", "{second}的{relation}有{first}吗？",
        "{first}在{second}的{relation}，对吗？", "你看到{first}在{second}的{relation}吗？",
        "图中{first}在{second}的{relation}吗？", "{first}在{second}的{relation}，是不是？",
    ),
    "inside": (
        "{first}在{second}里面吗？", "{first}在{second}内部吗？", "{second}里面有{first}吗？",
        "{first}位于{second}里面吗？", "{second}包含{first}吗？", "{first}在{second}里面，对吗？",
        "{first}是在{second}里面吗？", "图中{first}在{second}里面吗？",
    ),
    "larger": (
        "{first}比{second}大吗？", "{first}比{second}更大吗？", "{second}比{first}小吗？",
        "和{second}相比，{first}更大吗？", "{first}比{second}大，对吗？",
        "{first}是不是比{second}大？",
        "图中{first}比{second}大吗？", "{first}大于{second}吗？",
    ),
    "which_larger": (
        "{first}和{second}哪个大？", "{first}和{second}哪个更大？",
        "哪个更大，{first}还是{second}？",
        "是{first}大还是{second}大？", "{first}和{second}中，哪一个更大？",
        "更大的是{first}还是{second}？",
        "请说出更大的一个：{first}或{second}。", "{first}与{second}相比，哪个大？",
    ),
    "same_colour": (
        "{first}和{second}颜色相同吗？", "{first}和{second}是同一种颜色吗？",
        "{first}和{second}的颜色一样吗？",
        "{first}与{second}颜色一样吗？", "{first}和{second}的颜色相同，对吗？",
        "{first}的颜色和{second}一样吗？",
        "{first}和{second}有相同的颜色吗？", "图中{first}和{second}颜色相同吗？",
    ),
    "same_shape": (
        "{first}的图形和{second}的图形形状相同吗？", "{first}的和{second}的形状一样吗？",
        "{first}的图形与{second}的图形是同一种形状吗？", "{first}的图形和{second}的一样吗？",
        "{first}和{second}的图形形状相同，对吗？", "{first}的图形和{second}的图形有相同的形状吗？",
        "{first}的物体和{second}的物体形状一样吗？", "图中{first}的和{second}的形状相同吗？",
    ),
    "compare": (
        "比较这些图片。有什么不同？", "有什么不同？", "两张图片有什么不同？", "有什么变化？",
        "比较这两张图片。",
        "第二张图片有什么不同？", "两张图之间有什么变化？", "什么变了？",
    ),
    "same": (
        "两张图片一样吗？", "这两张图片相同吗？", "这些图片一样吗？", "两张图是一样的吗？",
        "第二张图片和第一张一样吗？",
        "两张图片相同吗？", "两张图的内容一样吗？", "这两张图是不是一样？",
    ),
    "video": (
        "这段视频里发生了什么？", "描述这段视频。", "视频里有什么？", "视频里发生了什么？",
        "你看到了什么？",
        "说说这段视频的内容。", "视频显示了什么？", "用一句话描述这段视频。",
    ),
    "direction": (
        "它向哪个方向移动？", "{kind}向哪个方向移动？", "{kind}往哪边移动？",
        "{kind}往哪里移动？", "它往哪边走？",
        "{colour}的{kind}向哪个方向移动？", "移动的方向是什么？", "它在向哪边移动？",
    ),
    "appear": (
        "{kind}什么时候出现？", "{kind}在第几秒出现？", "{colour}的{kind}什么时候出现？",
        "它在第几秒出现？", "几秒后出现{kind}？", "什么时候能看到{kind}？",
        "{colour}的{kind}在哪一秒出现？", "第几秒出现了{colour}的{kind}？",
    ),
    "disappear": (
        "{kind}什么时候消失？", "{kind}在第几秒消失？", "{colour}的{kind}什么时候消失？",
        "它在第几秒消失？", "几秒后{kind}消失？", "什么时候看不到{kind}了？",
        "{colour}的{kind}在哪一秒消失？", "从第几秒起没有{colour}的{kind}了？",
    ),
    "kind": (
        "这是什么文件？", "这是哪种文件？", "这是什么类型的文件？", "这份文件是什么？",
        "这份文档是什么类型？",
        "这是什么单据？", "这是哪一种单据？", "请说出文件的类型。",
    ),
    "total": (
        "总计是多少？", "合计是多少？", "总额是多少？", "一共多少钱？", "应付多少钱？",
        "总金额是多少？",
        "总价是多少？", "请读出合计。", "总计？",
    ),
    "tax": (
        "税额是多少？", "税是多少？", "税费是多少？", "有多少税？", "增值税是多少？",
        "请读出税额。", "税金是多少？", "税额？",
    ),
    "date": (
        "日期是哪一天？", "日期是什么？", "开票日期是哪天？", "这是哪一天的？",
        "上面的日期是什么？", "请读出日期。",
        "文件的日期是哪天？", "日期？",
    ),
    "quantity": (
        "数量是多少？", "有多少件？", "一共几件？", "件数是多少？", "买了多少件？",
        "请读出数量。", "上面的数量是多少？", "数量？",
    ),
    "number": (
        "编号是多少？", "单号是多少？", "号码是多少？", "订单号是多少？", "文件的编号是什么？",
        "请读出编号。",
        "上面的号码是什么？", "编号？",
    ),
    "name": (
        "姓名是什么？", "客户是谁？", "顾客叫什么？", "上面的名字是什么？", "这是谁的？",
        "请读出姓名。", "客户的姓名是什么？", "姓名？",
    ),
    "read": (
        "读出图中的所有文字。", "图中写了什么？", "读出文字。", "上面写着什么？",
        "图中的文字是什么？", "请读出图中的文字。",
        "这里写的是什么？", "有哪些文字？",
    ),
    "translate": (
        "把图中的文字翻译成英文。", "翻译成英文。", "把菜单翻译成英文。", "用英文怎么说？",
        "这些用英文怎么说？",
        "将图中的文字翻译成英文。", "菜单用英文怎么说？", "请翻译成英文。",
    ),
    "translate_zh": (
        "把图中的文字翻译成中文。", "翻译成中文。", "把菜单翻译成中文。", "用中文怎么说？",
        "这些用中文怎么说？",
        "将图中的文字翻译成中文。", "菜单用中文怎么说？", "请翻译成中文。",
    ),
    "price": (
        "{food}多少钱？", "{food}的价格是多少？", "{food}要多少钱？", "一份{food}多少钱？",
        "{food}卖多少钱？",
        "请读出{food}的价格。", "{food}的单价是多少？", "买{food}要付多少钱？",
    ),
    "locate": (
        "框出图中{what}的位置。", "框出图中{what}的位置。", "框出{what}。", "找出{what}。",
        "{what}在哪里？", "找到图中的{what}。",
        "请框出{what}。", "{what}在图中的什么位置？", "标出{what}。",
    ),
    "claim": (
        "以下说法符合图片内容吗：{statement}\n请回答是或否。",
        "以下说法符合图片内容吗：{statement}\n请回答是或否。",
        "{statement}对吗？", "{statement}这是真的吗？", "这个说法对吗：{statement}",
        "图片内容是这样吗：{statement}",
        "{statement}是不是？", "下面的说法对吗？{statement}",
    ),
}  # fmt: skip

HELD_OUT: dict[str, tuple[str, ...]] = {
    "describe": ("请说出图中有什么。", "这张图片里是什么？"),
    "colour": ("图里{kind}的颜色是什么？", "{kind}是哪一种颜色的？"),
    "shape": ("{colour}的物体是什么形状？", "图中{colour}的是什么图形？"),
    "count": ("图片里一共有多少图形？", "请数一数图中的物体。"),
    "count_colour": ("图里{colour}的图形有多少？", "多少个图形是{colour}的？"),
    "count_shape": ("图里{kinds}有多少？", "请数一数图中的{kinds}。"),
    "relation": ("{first}是在{second}的哪一边？", "从{second}看，{first}在什么方向？"),
    "relation_yes_no": (
        "请问{first}在{second}的{relation}吗？", "{first}是不是在{second}的{relation}？",
    ),
    "inside": ("{first}是不是在{second}里面？", "请问{first}在{second}里面吗？"),
    "larger": ("请问{first}比{second}大吗？", "{first}比{second}大，是不是？"),
    "which_larger": ("请问{first}和{second}哪个大？", "图中{first}和{second}哪一个大？"),
    "same_colour": ("{first}和{second}是不是一样的颜色？", "请问{first}和{second}颜色相同吗？"),
    "same_shape": (
        "{first}的和{second}的是同一种形状吗？", "请问{first}的图形和{second}的图形一样吗？",
    ),
    "compare": ("请说出两张图片的不同。", "两张图片之间什么变了？"),
    "same": ("请问两张图片一样吗？", "这两张图片是同样的吗？"),
    "video": ("请描述视频。", "你在视频里看到了什么？"),
    "direction": ("{kind}在往哪个方向移动？", "它移动的方向是什么？"),
    "appear": ("请问{kind}在第几秒出现？", "{colour}的{kind}是什么时候出现的？"),
    "disappear": ("请问{kind}在第几秒消失？", "{colour}的{kind}是什么时候消失的？"),
    "kind": ("请问这是什么文件？", "文件是哪种类型？"),
    "total": ("请问一共要付多少钱？", "上面的总计是多少？"),
    "tax": ("请问税额是多少？", "上面的税是多少？"),
    "date": ("请问日期是哪天？", "文件上的日期是什么？"),
    "quantity": ("请问有多少件？", "文件上的数量是多少？"),
    "number": ("请问编号是什么？", "文件上的号码是多少？"),
    "name": ("请问客户叫什么？", "文件上的姓名是什么？"),
    "read": ("请问图中写了什么？", "说出图中的所有文字。"),
    "translate": ("请问这些用英文怎么说？", "请把菜单翻译成英文。"),
    "translate_zh": ("请问这些用中文怎么说？", "请把菜单翻译成中文。"),
    "price": ("请问{food}多少钱？", "{food}的价钱是多少？"),
    "locate": ("请问{what}在哪里？", "请在图中找出{what}。"),
    "claim": ("请问这个说法对吗：{statement}", "{statement}这个说法符合图片吗？"),
}  # fmt: skip

YES_OR_NO = "\n请回答是或否。"
A_NUMBER = "\n请用一个数字回答。"
DOCUMENT_ONLY = "\n仅根据此文档，尽可能简短地回答。"
CHOOSE = "\n请回答以下之一："
EXTRACT = "从图片中提取以下字段，以JSON格式输出："
PAIRS = (
    "将图中的每处文字翻译成{language}，以JSON格式输出：\n"
    "- texts: 对象列表：\n  - source: 文本\n  - target: 文本"
)
SYSTEM = (
    "你是一个有用的助手。", "请简短回答。", "请用中文回答。", "你是通义千问。",
    "你会看图并回答问题。", "请认真看图，回答问题。",
    "你是一位认真的助手。", "只回答所问的问题。",
)  # fmt: skip
