# %% [markdown]
# # Tables and charts
# `read_table` gives columns and rows of a table, `chart_to_table` of a chart; both become a pandas
# frame. The small model knows no tables, so that its part is played from a script here.
#
# ![A menu](pictures/menu.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import chart_to_table, read_table

written = '{"columns": ["dish", "price"], "rows": [["Fromage", "6.50"], ["Poulet", "12.80"]]}'
chat = VisionChat(ScriptedBackend([written] * 2, family="qwen3_vl"))
table = read_table(chat, "pictures/menu.png")
print(table.columns)
for row in table.rows:
    print(row)

# %%
print(chart_to_table(chat, "pictures/menu.png").rows[0])
